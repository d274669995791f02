"""The scan document: what must be right, what may be wrong, and what is never raised."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tango_saver.errors import DocumentError
from tango_saver.model.scan import ChannelKind, ScanDescription, ScanKey, ScanState
from tango_saver.source.bliss2 import decode_document

KEY = ScanKey("esrf:scan:TEST")
RECORDINGS = sorted(
    (Path(__file__).parents[2] / "resources" / "recordings" / "bliss2").glob("*.json.gz")
)


def recorded_documents(path: Path) -> list[tuple[int, dict[str, Any]]]:
    with gzip.open(path) as file:
        return [(d["state"], d["doc"]) for scan in json.load(file)["scans"] for d in scan["docs"]]


TWO_TIMERS = recorded_documents(next(p for p in RECORDINGS if p.name.startswith("two_timers")))[-1][
    1
]


def decode(document: object) -> ScanDescription:
    return decode_document(json.dumps(document), KEY, ScanState.PREPARED)


def small(**info: Any) -> dict[str, Any]:
    return {
        "id": {"name": "ascan", "number": 7, "session": "demo", "path": "/data/x.h5"},
        "info": {
            "save": True,
            "channels": {"a:x": {"device": "1:a", "unit": "mm", "display_name": "x"}, "b:y": {}},
            "devices": {"1:a": {"name": "a", "channels": ["a:x"]}, "2:b": {"name": "b"}},
            "acquisition_chain": {
                "a": {
                    "top_master": "1:a",
                    "devices": ["2:b", "1:a"],
                    "master": {"scalars": ["a:x"]},
                    "scalars": ["b:y"],
                }
            },
        }
        | info,
        "state_stream": {"pk": "S"},
        "data_streams": {
            "a:x": {"pk": "A", "encoding": {"type": "numeric", "dtype_str": "<f8", "shape": []}},
            "b:y": {
                "pk": "B",
                "encoding": {"type": "numeric", "dtype_str": ">u4", "shape": [8, -1]},
            },
        },
    }


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name.split(".")[0])
def test_recorded_documents_decode_without_a_warning(path: Path) -> None:
    for state, document in recorded_documents(path):
        scan = decode_document(json.dumps(document), KEY, ScanState(state))
        assert scan.warnings == ()
        assert list(scan.channels) == list(document["data_streams"])
        assert not any(channel.problem for channel in scan.channels.values())
        if scan.channels:
            assert scan.missing_channels == ()
        placed = [name for subscan in scan.subscans for name in subscan.channels]
        assert sorted(placed) == sorted(scan.channels)
        assert [s.top_master for s in scan.subscans] == sorted(
            document["info"]["acquisition_chain"]
        )
        assert (scan.index_file or scan.target) == (document["id"]["path"] or "")
        assert scan.saved is document["info"]["save"]


def test_the_parts_of_a_document_are_where_they_belong() -> None:
    scan = decode(small(npoints=11, title="ascan x", data_writer="nexus"))
    assert scan.label == "7_ascan"
    assert (scan.session, scan.target, scan.saved, scan.writer) == (
        "demo",
        "/data/x.h5",
        True,
        "nexus",
    )
    assert scan.state_stream == "esrf:stream:S"
    assert scan.n_points == 11
    x, y = scan.channels["a:x"], scan.channels["b:y"]
    assert (x.stream, x.dtype, x.shape, x.unit) == ("esrf:stream:A", np.dtype("<f8"), (), "mm")
    assert (y.dtype, y.shape) == (np.dtype(">u4"), (8, None))
    assert scan.subscans[0].devices == ("1:a", "2:b"), "the root comes first"
    assert scan.subscans[0].channels == ("a:x", "b:y")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("id",), 3),
        (("id", "number"), "seven"),
        (("id", "number"), -1),
        (("id", "number"), 10**30),
        (("id", "session"), None),
        (("id", "name"), ["ascan"]),
        (("id", "path"), 5),
        (("info",), []),
        (("info", "save"), "yes"),
        (("info", "filename"), {}),
        (("info", "scan_nb"), 1.5),
        (("state_stream", "pk"), 9),
        (("state_stream",), None),
        (("data_streams",), ["a:x"]),
    ],
)
def test_a_wrong_core_field_is_refused_with_its_path(path: tuple[str, ...], value: Any) -> None:
    document = small()
    parent = document
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = value
    with pytest.raises(DocumentError) as caught:
        decode(document)
    # A field that is absent, or emptied to null, is missed in its parent.
    shown = "$" if value is None and len(path) == 1 else f"$.{'.'.join(path)}"
    assert caught.value.fact.endswith(f": {shown}")
    assert caught.value.scan == KEY


def test_a_stream_without_a_key_is_refused_with_the_name_of_its_channel() -> None:
    document = small()
    document["data_streams"]["b:y"]["pk"] = 4
    with pytest.raises(DocumentError, match=r"\$\.data_streams\['b:y'\]\.pk"):
        decode(document)


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 200_000, b"NaN", "\ud800"]
)
def test_what_is_no_document_is_refused(raw: bytes | str) -> None:
    with pytest.raises(DocumentError):
        decode_document(raw, KEY, ScanState.CREATED)


def test_not_a_number_is_harmless() -> None:
    text = json.dumps(small(positioners={"positioners_start": {"robx": float("nan")}}))
    assert "NaN" in text
    scan = decode_document(text, KEY, ScanState.CREATED)
    assert np.isnan(scan.positioners.start["robx"])


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("positioners", 3),
        ("positioners", {"positioners_start": []}),
        ("positioners", {"positioners_start": {"robx": [1, 2]}}),
        ("devices", "none"),
        ("devices", {"1:a": {"channels": 5}}),
        ("devices", {"1:a": 8}),
        ("channels", [1]),
        ("channels", {"a:x": "text"}),
        ("channels", {"a:x": {"unit": 5}}),
        ("acquisition_chain", {"a": 5}),
        ("acquisition_chain", {"a": {"scalars": ["a:x", 3], "spectra": ["b:y"]}}),
        ("acquisition_chain", 1),
        ("title", 1),
        ("npoints", "many"),
        ("npoints", 2**70),
        ("writer_options", 1),
    ],
)
def test_a_malformed_peripheral_part_is_left_aside_with_a_warning(part: str, value: Any) -> None:
    scan = decode(small(**{part: value}))
    assert any(part in warning for warning in scan.warnings)
    assert sorted(name for s in scan.subscans for name in s.channels) == ["a:x", "b:y"]


def test_without_a_chain_all_channels_go_to_one_entry() -> None:
    document = small()
    del document["info"]["acquisition_chain"]
    scan = decode(document)
    assert len(scan.subscans) == 1
    assert scan.subscans[0].channels == ("a:x", "b:y")
    assert any("acquisition_chain" in warning for warning in scan.warnings)


def test_a_malformed_part_of_the_chain_keeps_the_numbers_of_the_others() -> None:
    document = copy.deepcopy(TWO_TIMERS)
    document["info"]["acquisition_chain"]["fast_timer"] = "broken"
    scan = decode(document)
    assert [s.top_master for s in scan.subscans] == ["fast_timer", "slow_timer"]
    whole = decode(TWO_TIMERS)
    assert scan.subscans[1] == whole.subscans[1]


def test_a_channel_outside_the_chain_goes_where_its_device_is() -> None:
    document = copy.deepcopy(TWO_TIMERS)
    part = document["info"]["acquisition_chain"]["slow_timer"]
    removed = part["scalars"].pop()
    scan = decode(document)
    assert removed in scan.subscans[1].channels
    assert scan.warnings == ()


def test_a_channel_outside_the_chain_without_a_device_goes_to_the_first_entry() -> None:
    document = small()
    document["data_streams"]["lost"] = document["data_streams"]["a:x"] | {"pk": "L"}
    scan = decode(document)
    assert scan.subscans[0].channels == ("a:x", "b:y", "lost")
    assert any("'lost'" in warning for warning in scan.warnings)


def test_channels_that_are_named_without_a_stream_are_missing() -> None:
    document = small()
    del document["data_streams"]["b:y"]
    scan = decode(document)
    assert scan.missing_channels == ("b:y",)
    assert scan.subscans[0].channels == ("a:x",)


@pytest.mark.parametrize("empty", ["", None])
def test_old_publishers_leave_unused_parts_empty(empty: str | None) -> None:
    document = small(title=empty, positioners=empty)
    document["id"]["path"] = empty
    document["state_stream"] |= {"encoding": empty, "info": empty}
    document["data_streams"]["a:x"]["info"] = empty
    scan = decode(document)
    assert scan.warnings == ()
    assert (scan.saved, scan.target) == (False, "")


@pytest.mark.parametrize(
    "encoding",
    [
        None,
        {},
        {"type": "pickle"},
        {"type": "numeric"},
        {"type": "numeric", "dtype_str": "|O", "shape": []},
        {"type": "numeric", "dtype_str": "<U5", "shape": []},
        {"type": "numeric", "dtype_str": "<M8[ns]", "shape": []},
        {"type": "numeric", "dtype_str": "f8,f8", "shape": []},
        {"type": "numeric", "dtype_str": "(2,)f8", "shape": []},
        {"type": "numeric", "dtype_str": "<f7", "shape": []},
        {"type": "numeric", "dtype_str": 8, "shape": []},
        {"type": "numeric", "dtype_str": "<f8", "shape": None},
        {"type": "numeric", "dtype_str": "<f8", "shape": [-2]},
        {"type": "numeric", "dtype_str": "<f8", "shape": [True]},
        {"type": "numeric", "dtype_str": "<f8", "shape": [0]},
        {"type": "numeric", "dtype_str": "<f8", "shape": [2**20, 2**20]},
        {"type": "numeric", "dtype_str": "<f8", "shape": [1] * 40},
    ],
)
def test_an_encoding_that_cannot_be_used_is_the_problem_of_its_channel(encoding: Any) -> None:
    document = small()
    document["data_streams"]["a:x"]["encoding"] = encoding
    scan = decode(document)
    assert scan.channels["a:x"].problem
    assert scan.channels["a:x"].dtype is None
    assert not scan.channels["b:y"].problem


@pytest.mark.parametrize(
    "text", ["|b1", "|i1", "<i2", ">u8", "<f2", ">f8", "<c8", ">c16", "float64", "bool"]
)
def test_every_plain_number_is_a_dtype(text: str) -> None:
    document = small()
    document["data_streams"]["a:x"]["encoding"]["dtype_str"] = text
    assert decode(document).channels["a:x"].dtype == np.dtype(text)


@pytest.mark.parametrize(
    ("info", "encoding", "kind"),
    [
        ({"plugin": "hdf5_fallback"}, {"type": "json"}, ChannelKind.JSON),
        ({"plugin": "lima", "format": "lima_v1"}, {"type": "json"}, ChannelKind.IMAGE_REFERENCE),
        ({"format": "lima_v2"}, {"type": "json"}, ChannelKind.IMAGE_REFERENCE),
        ({"plugin": "mosca"}, {"type": "json"}, ChannelKind.IMAGE_REFERENCE),
        ({"plugin": "scan_sequence"}, {"type": "json"}, ChannelKind.SUBSCANS),
        ({"format": "subscan"}, {"type": "json"}, ChannelKind.SUBSCANS),
        ({"plugin": "of another house"}, {"type": "json"}, ChannelKind.JSON),
    ],
)
def test_plugin_and_format_tell_the_kind(
    info: dict[str, Any], encoding: dict[str, Any], kind: ChannelKind
) -> None:
    document = small()
    document["data_streams"]["a:x"] |= {"info": info, "encoding": encoding}
    channel = decode(document).channels["a:x"]
    assert (channel.kind, channel.problem, channel.dtype) == (kind, "", None)


def test_the_frame_counter_of_lima2_keeps_its_dtype() -> None:
    document = small()
    document["data_streams"]["a:x"] |= {
        "info": {"plugin": "lima2", "protocol_version": 2},
        "encoding": {"type": "numeric", "dtype_str": "<u4", "shape": []},
    }
    channel = decode(document).channels["a:x"]
    assert channel.kind is ChannelKind.IMAGE_REFERENCE
    assert channel.status_dtype == np.dtype("<u4")


def test_a_stream_belongs_to_one_channel() -> None:
    document = small()
    document["data_streams"]["b:y"]["pk"] = "A"
    scan = decode(document)
    assert not scan.channels["a:x"].problem
    assert "a:x" in scan.channels["b:y"].problem


def test_ten_thousand_malformed_channels_give_few_warnings() -> None:
    document = small(channels={f"c{i}": {"unit": 5} for i in range(10_000)})
    document["data_streams"] = {
        f"c{i}": {"pk": f"{i}", "encoding": {"type": "json"}} for i in range(10_000)
    }
    scan = decode(document)
    assert len(scan.channels) == 10_000
    assert len(scan.warnings) < 100
    assert "more parts" in scan.warnings[-1]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["numeric", "json", "<f8", "lima", "a:x", "1:a"]),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(["pk", "type", "a:x", "scalars", "1:a", "x"]), children, max_size=4
        )
    ),
    max_leaves=12,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, child in items:
        found += paths(child, (*path, name))
    return found


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_document_raises_anything_but_a_document_error(data: st.DataObject) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from([TWO_TIMERS, small()])))
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(paths(document)))
        parent = document
        try:
            for name in path[:-1]:
                parent = parent[name]
            parent[path[-1]] = data.draw(JSON_VALUES)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    try:
        scan = decode(document)
    except DocumentError as error:
        assert "$" in error.fact  # noqa: PT017 - some documents are good, most are not
    else:
        placed = [name for subscan in scan.subscans for name in subscan.channels]
        assert sorted(placed) == sorted(scan.channels)
        assert all(device in scan.devices for s in scan.subscans for device in s.devices)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | JSON_VALUES.map(lambda v: json.dumps(v).encode()))
def test_no_bytes_raise_anything_but_a_document_error(raw: bytes) -> None:
    with pytest.raises(DocumentError):
        decode_document(raw, KEY, ScanState.CREATED)
