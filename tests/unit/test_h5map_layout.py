"""Maps of files as plans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tango_saver.errors import LayoutError
from tango_saver.layout import Moment, choose_layout, plan_scan, with_earlier_map
from tango_saver.layout.h5map import plan_h5map
from tango_saver.model.plan import (
    ExternalBinary,
    ExternalFile,
    ExternalLink,
    FilePlan,
    Group,
    Node,
    PointKind,
    Selection,
    SoftLink,
    Value,
    VirtualDataset,
    VirtualSource,
)
from tango_saver.model.scan import ChannelKind, ChannelSpec, ScanDescription, ScanKey, ScanState

Json = Any
RUNNING = Moment("RUNNING", "2026-11-24T17:00:00+00:00")
ENDED = Moment("SUCCEEDED", "2026-11-24T18:00:00+00:00", end_time="2026-11-24T18:00:00+00:00")
CHANNELS = (
    ChannelSpec("axis:robx", "1", ChannelKind.NUMERIC, np.dtype("<f8"), ()),
    ChannelSpec("mca", "2", ChannelKind.NUMERIC, np.dtype(">u4"), (64,)),
    ChannelSpec("samples", "3", ChannelKind.NUMERIC, np.dtype("<f8"), (None,)),
    ChannelSpec("log", "4", ChannelKind.JSON, None, None),
    ChannelSpec("group", "5", ChannelKind.SUBSCANS, None, None),
    ChannelSpec("broken", "6", ChannelKind.NUMERIC, None, None, problem="its dtype is unknown"),
    ChannelSpec("cam", "7", ChannelKind.IMAGE_REFERENCE, None, None, info={"lima_info": {}}),
)


def group(nx_class: str = "", /, **children: Json) -> Json:
    attributes = {"attributes": {"NX_class": nx_class}} if nx_class else {}
    return {"type": "group", "children": children, **attributes}


def stream(name: str, **attributes: Json) -> Json:
    return {
        "type": "dataset",
        "value": {"type": "stream", "stream": name},
        "attributes": attributes,
    }


def scan(maps: Json, **parts: Any) -> ScanDescription:
    default: dict[str, Any] = {
        "key": ScanKey("esrf:scan:X"),
        "session": "s",
        "name": "ascan",
        "number": 7,
        "state": ScanState.PREPARED,
        "saved": True,
        "writer": "mapping",
        "target": "/data/x.h5",
        "state_stream": "t",
        "n_points": 5,
        "channels": {spec.name: spec for spec in CHANNELS},
        "info": {"h5maps": maps},
    }
    return ScanDescription(**{**default, **parts})


def plan_of(entry: Json, moment: Moment = RUNNING) -> FilePlan:
    return plan_h5map(scan({"/data/x.h5": {"type": "group", "children": {"7.1": entry}}}), moment)


def item(value: Json, moment: Moment = RUNNING) -> tuple[Node | None, tuple[str, ...]]:
    """What one item becomes, and the warnings."""
    plan = plan_of(group("NXentry", item=value), moment)
    return {node.path: node for node in plan.nodes}.get("/7.1/item"), plan.warnings


def test_groups_values_and_attributes() -> None:
    node, warnings = item({"type": "dataset", "value": 0.5, "attributes": {"units": "s", "n": [1]}})
    assert warnings == ()
    assert isinstance(node, Value)
    assert (node.value, node.attributes["units"]) == (0.5, "s")
    assert item(7) == (Value("/7.1/item", 7), ())
    assert item({"value": 7}) == (Value("/7.1/item", 7), ())
    assert item(group("NXdata")) == (Group("/7.1/item", {"NX_class": "NXdata"}), ())
    assert item({"type": "group"}) == (Group("/7.1/item"), ())


def test_a_stream_is_a_dataset_as_often_as_it_is_named() -> None:
    plan = plan_of(
        group("NXentry", a=stream("mca", units="#"), b={"type": "stream", "stream": "mca"})
    )
    first, second = plan.streams["mca"]
    assert (first.path, first.attributes) == ("/7.1/a", {"units": "#"})
    assert (second.path, second.attributes) == ("/7.1/b", {})
    assert (first.dtype, first.shape, first.kind) == (np.dtype(">u4"), (64,), PointKind.NUMERIC)
    assert first.storage.chunk == (5, 64)
    assert first.at_once


def test_a_json_channel_is_text() -> None:
    (dataset,) = plan_of(group("NXentry", a=stream("log"))).streams["log"]
    assert (dataset.kind, dataset.dtype, dataset.shape) == (PointKind.TEXT, None, ())


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("nobody", "no channel 'nobody'"),
        ("broken", "its dtype is unknown"),
        ("group", "no points"),
        ("cam", "saves no images"),
    ],
)
def test_a_stream_that_cannot_be_saved_costs_its_dataset(name: str, fact: str) -> None:
    plan = plan_of(group("NXentry", a=stream(name), b=stream("mca")))
    assert list(plan.streams) == ["mca"]
    (warning,) = plan.warnings
    assert warning.startswith("/7.1/a in the map of /data/x.h5 is left out: ")
    assert fact in warning


def test_links_stay_as_they_are_or_become_relative() -> None:
    soft = {"type": "soft_link", "target_path": "../dangling"}
    assert item(soft) == (SoftLink("/7.1/item", "../dangling"), ())
    external = {"type": "external_link", "target_path": "/a"}
    for name, expected in {
        "raw/a.h5": "raw/a.h5",
        "/data/raw/a.h5": "raw/a.h5",
        "/data2/a.h5": "/data2/a.h5",
    }.items():
        node, warnings = item({**external, "target_file": name})
        assert (node, warnings) == (ExternalLink("/7.1/item", expected, "/a"), ())
    for name in ("x.h5", "/data/x.h5", "/data/./x.h5"):
        assert item({**external, "target_file": name}) == (SoftLink("/7.1/item", "/a"), ())


def test_an_external_binary_names_its_files_absolutely() -> None:
    node, warnings = item(
        {
            "type": "external_binary_dataset",
            "dtype": "<u2",
            "shape": [4, 6],
            "files": [{"name": "raw/a.bin", "offset": 8, "size": 40}, {"name": "/b.bin"}],
        }
    )
    assert warnings == ()
    assert node == ExternalBinary(
        "/7.1/item",
        np.dtype("<u2"),
        (4, 6),
        (ExternalFile("/data/raw/a.bin", 8, 40), ExternalFile("/b.bin", 0, None)),
    )


def virtual(**source: Json) -> Json:
    whole = {
        "vspace": {"start": [0, 0], "count": [2, 3]},
        "src_file": "a.h5",
        "src_dataset": "/d",
        "src_space": {"start": [1, 0], "count": [2, 3], "stride": [2, 1], "block": None},
        **source,
    }
    return {"type": "virtual_dataset", "dtype": ">f4", "shape": [4, 3], "virtual_sources": [whole]}


def test_a_virtual_dataset_keeps_its_selections() -> None:
    node, warnings = item(virtual())
    assert warnings == ()
    source = Selection((1, 0), (2, 3), (2, 1), (1, 1))
    assert source.stop == (4, 3)
    assert node == VirtualDataset(
        "/7.1/item",
        np.dtype(">f4"),
        (4, 3),
        (VirtualSource("a.h5", "/d", source, Selection((0, 0), (2, 3), (1, 1), (1, 1))),),
    )


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        ({"type": "papyrus"}, "unknown"),
        ({"type": ["group"]}, "unknown"),
        ({"type": "dataset"}, "no value"),
        ({"type": "dataset", "value": {"type": "group"}}, "unknown"),
        ({"type": "soft_link"}, "leads to is missing"),
        ({"type": "soft_link", "target_path": 3}, "leads to is missing"),
        ({"type": "external_link", "target_path": "/a"}, "name of a file is missing"),
        ({"type": "external_link", "target_path": "/a", "target_file": "../a.h5"}, '".."'),
        ({"type": "external_link", "target_path": "/a", "target_file": "a\0"}, "characters"),
        ({"type": "external_link", "target_path": "/a", "target_file": "/etc/a"}, "allowed roots"),
        ({"type": "external_link", "target_path": "/a", "target_file": "/database/a"}, "allowed"),
        ({"type": "external_binary_dataset", "dtype": "<u2", "shape": [1]}, "no files"),
        (
            {
                "type": "external_binary_dataset",
                "dtype": "O",
                "shape": [1],
                "files": [{"name": "a"}],
            },
            "dtype",
        ),
        (
            {
                "type": "external_binary_dataset",
                "dtype": "<u2",
                "shape": [1],
                "files": [{"name": "a", "offset": -1}],
            },
            "offset",
        ),
        (virtual(src_file="/etc/passwd"), "allowed roots"),
        (virtual(vspace={"start": [3, 0], "count": [2, 3]}), "does not fit"),
        (virtual(vspace={"start": [0], "count": [2]}), "does not fit"),
        (virtual(vspace={"start": [0, 0], "count": [1, 3]}), "gives 6 values for 3"),
        (virtual(vspace={"start": [0, 0], "count": [0, 3]}), "gives 6 values for 0"),
        (virtual(vspace=None), "which of its values"),
        (virtual(vspace={"start": [0, 0], "count": [2, 3], "stride": [1]}), "different rank"),
        (
            virtual(vspace={"start": [0, 0], "count": [2, 1], "stride": [1, 1], "block": [2, 1]}),
            "overlap",
        ),
        (virtual(vspace={"start": [0, 0], "count": [2, -3]}), "list of sizes"),
        (virtual() | {"virtual_sources": []}, "no sources"),
        (virtual() | {"virtual_sources": [1]}, "one of its sources"),
        (virtual() | {"shape": [2**62, 2**62]}, "larger than any array"),
    ],
)
def test_a_malformed_item_costs_itself_with_a_warning(value: Json, fact: str) -> None:
    node, warnings = item(value, replace(RUNNING, allowed_roots=("/data",)))
    assert node is None
    (warning,) = warnings
    assert warning.startswith("/7.1/item in the map of /data/x.h5 is left out: ")
    assert fact in warning


def test_malformed_attributes_and_children_cost_themselves() -> None:
    plan = plan_of(
        {
            "type": "group",
            "attributes": {"NX_class": "NXentry", "": 1, "bad": {}, "good": 2},
            "children": {
                "a/b": 1,
                "..": 2,
                "": 3,
                "fine": 4,
                "g": {"type": "group", "children": 5},
            },
        }
    )
    entry = next(node for node in plan.nodes if node.path == "/7.1")
    assert isinstance(entry, Group)
    assert entry.attributes == {"NX_class": "NXentry", "good": 2}
    assert Value("/7.1/fine", 4) in plan.nodes
    assert len(plan.warnings) == 6


def test_an_entry_gets_its_end_last_and_only_once_all_is_saved() -> None:
    entry = group("NXentry", end_time="2026-01-01", inner=group("", end_time="kept"))
    for moment in (RUNNING, ENDED):
        plan = plan_of(entry, moment)
        paths = [node.path for node in plan.nodes]
        assert "/7.1/end_time" not in paths
        assert "/7.1/inner/end_time" in paths
    assert plan_of(entry).last == ()
    assert plan_of(entry).final_root_attributes == {}
    assert plan_of(entry, ENDED).last == (Value("/7.1/end_time", "2026-01-01"),)
    assert plan_of(group("NXentry"), ENDED).last == (Value("/7.1/end_time", ENDED.end_time),)
    assert plan_of(entry, ENDED).final_root_attributes["default"] == "7.1"
    linked = group("NXentry", end_time={"type": "soft_link", "target_path": "start_time"})
    assert plan_of(linked, ENDED).last == (SoftLink("/7.1/end_time", "start_time"),)


def test_every_entry_says_who_saved_it_whatever_the_map_has_there() -> None:
    taken = group("NXnote", status=group(), date=1, data=stream("mca"))
    for writer in (None, 5, taken, stream("mca")):
        children = {} if writer is None else {"writer": writer}
        plan = plan_of(group("NXentry", **children))
        nodes = {node.path: node for node in plan.nodes}
        assert nodes["/7.1/writer"] == Group("/7.1/writer", {"NX_class": "NXnote"})
        assert nodes["/7.1/writer/status"] == Value("/7.1/writer/status", "RUNNING")
        assert "/7.1/writer/data" not in nodes
        assert not plan.streams


def test_what_went_wrong_stands_beside_the_data() -> None:
    moment = replace(ENDED, warnings=("a gap",), writer_status="FAILED", end_reason="DELETION")
    nodes = {node.path: node for node in plan_of(group("NXentry"), moment).nodes}
    assert nodes["/7.1/writer/description"] == Value("/7.1/writer/description", "a gap")
    assert nodes["/7.1/end_reason"] == Value("/7.1/end_reason", "DELETION")


def test_the_lengths_of_varying_points_have_a_place_of_their_own() -> None:
    plan = plan_of(group("NXentry", a=stream("samples"), a_lengths=1, b=stream("mca"), b_lengths=2))
    paths = [node.path for node in plan.nodes]
    assert "/7.1/a_lengths" not in paths
    assert "/7.1/b_lengths" in paths
    assert len(plan.warnings) == 1


def test_every_file_of_the_map_has_its_plan() -> None:
    description = scan(
        {
            "/data/late.h5": group("", a=stream("mca")),
            "/data/./x.h5": group("", **{"7.1": group("NXentry")}),
            "../bad.h5": group(),
            "/data/none.h5": 5,
        }
    )
    plan = plan_h5map(description, RUNNING)
    assert (plan.target, plan.entries) == ("/data/x.h5", ("7.1",))
    assert [part.target for part in plan.further] == ["/data/late.h5", "../bad.h5"]
    assert plan.further[0].entries == ("a",)
    assert list(plan.further[0].streams) == ["mca"]
    assert plan.channels == {"mca"}
    assert "/data/none.h5" in plan.warnings[0]


@pytest.mark.parametrize(
    ("wanted", "writer", "maps", "expected"),
    [
        ("nexus", "mapping", {"/data/x.h5": {"type": "group"}}, "nexus"),
        ("h5map", "nexus", {"/data/x.h5": {"type": "group"}}, "h5map"),
        ("auto", "mapping", {"/data/x.h5": {"type": "group"}}, "h5map"),
        ("auto", "nexus", {"/data/x.h5": {"type": "group"}}, "nexus"),
        ("auto", "nexus", None, "nexus"),
    ],
)
def test_the_layout_is_chosen_per_scan(wanted: str, writer: str, maps: Json, expected: str) -> None:
    assert choose_layout(wanted, scan(maps, writer=writer)) == (expected, "")


@pytest.mark.parametrize(
    "maps", [None, 5, [], {}, {"/data/y.h5": group()}, {"/data/x.h5": 5}, {"/data/x.h5": {}}]
)
def test_a_scan_without_a_usable_map_is_nexus_and_says_so(maps: Json) -> None:
    description = scan(maps)
    for wanted in ("h5map", "auto"):
        name, sentence = choose_layout(wanted, description)
        assert name == "nexus"
        assert sentence in plan_scan(wanted, description, RUNNING).warnings
    with pytest.raises(LayoutError, match="no usable map"):
        plan_h5map(description, RUNNING)


def test_a_map_that_was_usable_once_stays_in_use() -> None:
    earlier, later = scan({"/data/x.h5": group()}), scan(None, end_reason="SUCCESS")
    kept = with_earlier_map(later, earlier)
    assert kept.end_reason == "SUCCESS"
    assert plan_h5map(kept, ENDED).target == "/data/x.h5"
    newer = scan({"/data/x.h5": group(a=1)})
    assert with_earlier_map(newer, earlier) is newer


def test_ten_thousand_broken_items_are_counted_not_told() -> None:
    plan = plan_of(group("NXentry", **{f"i{n}": {"type": "no"} for n in range(10_000)}))
    assert len(plan.warnings) == 51
    assert plan.warnings[-1].startswith("9950 more")


def test_groups_nested_without_end_are_cut() -> None:
    deep = group()
    for _ in range(400):
        deep = group("", g=deep)
    plan = plan_of(deep)
    assert len(plan.warnings) == 1
    assert "nested too deep" in plan.warnings[0]


TYPES = (
    "group", "dataset", "inline", "inline_b64", "compound", "stream", "soft_link", "external_link",
    "external_binary_dataset", "virtual_dataset", "nonsense",
)  # fmt: skip
KEYS = (
    "attributes", "children", "value", "dtype", "shape", "stream", "target_path", "target_file",
    "files", "virtual_sources", "vspace", "src_space", "src_file", "src_dataset", "start", "count",
    "stride", "block", "columns", "name", "offset", "size", "type",
)  # fmt: skip
LEAVES = st.sampled_from(
    (None, True, 0, 3, -1, 2**70, 0.5, "", "mca", "samples", "/a", "..", "a.h5", "<i2", "AAAA")
)
ITEMS = st.recursive(
    LEAVES | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=2), inner, max_size=5)
        | st.builds(
            lambda kind, rest: {"type": kind, **rest},
            st.sampled_from(TYPES),
            st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
        )
    ),
    max_leaves=25,
)


@given(ITEMS, ITEMS)
def test_no_map_raises_anything_but_our_error(first: Json, second: Json) -> None:
    maps = {
        "/data/x.h5": {"type": "group", "children": {"7.1": group("NXentry", a=first, b=second)}},
        "/data/y.h5": first,
        "z": {"type": "group", "children": second, "attributes": first},
    }
    for moment in (RUNNING, ENDED):
        plan = plan_h5map(scan(maps), moment)
        paths = [node.path for node in plan.nodes]
        paths += [spec.path for specs in plan.streams.values() for spec in specs]
        assert len(set(paths)) == len(paths)
        seen = {""}
        for node in plan.nodes:
            assert node.path.rpartition("/")[0] in seen
            seen.add(node.path)
    for whole in (first, {"/data/x.h5": first}):
        plan_scan("h5map", scan(whole), RUNNING)
