from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tango_saver.errors import ConfigurationError
from tango_saver.layout import LAYOUTS, Moment, plan_scan
from tango_saver.model.plan import (
    FilePlan,
    FirstPoints,
    Group,
    PointKind,
    ReshapedView,
    SoftLink,
    StreamDataset,
    Value,
)
from tango_saver.model.scan import (
    ChannelKind,
    ChannelSpec,
    DeviceSpec,
    Positioners,
    ScanDescription,
    ScanKey,
    ScanState,
    Subscan,
)

RUNNING = Moment("RUNNING", "2026-11-24T17:00:00+00:00")
FLOAT = np.dtype("<f8")


def channel(name: str, **parts: Any) -> ChannelSpec:
    default = {"stream": name, "kind": ChannelKind.NUMERIC, "dtype": FLOAT, "shape": ()}
    return ChannelSpec(name=name, **{**default, **parts})


def scan(*channels: ChannelSpec, axes: tuple[str, ...] = (), **parts: Any) -> ScanDescription:
    """A scan of one top master that reads ``axes`` and triggers the device of all others."""
    names = tuple(spec.name for spec in channels)
    others = tuple(name for name in names if name not in axes)
    default: dict[str, Any] = {
        "key": ScanKey("esrf:scan:X"),
        "session": "s",
        "name": "ascan",
        "number": 7,
        "state": ScanState.PREPARED,
        "saved": True,
        "writer": "nexus",
        "target": "/data/x.h5",
        "state_stream": "t",
        "title": "ascan robx 0 1 4 0.1",
        "start_time": "2026-11-24T16:59:00+00:00",
        "n_points": 5,
        "subscans": (Subscan("axis", ("top", "detectors"), names),),
        "devices": {
            "top": DeviceSpec("top", "axis", axes, ("detectors",)),
            "detectors": DeviceSpec("detectors", "ctrl", others),
        },
        "channels": {spec.name: spec for spec in channels},
    }
    return ScanDescription(**{**default, **parts})


def plan(description: ScanDescription, moment: Moment = RUNNING) -> FilePlan:
    return plan_scan("nexus", description, moment)


def nodes(made: FilePlan) -> dict[str, Any]:
    return {node.path: node for node in made.nodes}


def stream(made: FilePlan, name: str) -> StreamDataset:
    (dataset,) = made.streams[name]
    return dataset


def companions(made: FilePlan, name: str) -> dict[str, Any]:
    return {node.path: node for node in stream(made, name).companions}


def devices(**described: Any) -> dict[str, Any]:
    names = {key.replace("__", ":"): value for key, value in described.items()}
    return {"nexuswriter": {"devices": names}}


def test_an_unknown_layout_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'nexsu'.*nexus"):
        plan_scan("nexsu", scan(), RUNNING)
    assert "nexus" in LAYOUTS


def test_a_scanned_motor_replaces_its_start_value_when_it_has_points() -> None:
    positioners = Positioners(start={"robx": 1.0, "roby": None}, units={"robx": "mm"})
    made = plan(scan(channel("axis:robx"), axes=("axis:robx",), positioners=positioners))
    path = "/7.1/instrument/positioners/robx"
    assert nodes(made)[path] == Value(path, 1.0, {"units": "mm"})
    assert companions(made, "axis:robx")[path] == SoftLink(path, "/7.1/instrument/robx/value")
    assert np.isnan(nodes(made)["/7.1/instrument/positioners/roby"].value)


def test_the_name_of_a_motor_is_not_cleaned_among_the_positioners() -> None:
    made = plan(
        scan(
            channel("axis:rob-x"), axes=("axis:rob-x",), positioners=Positioners(start={"rob-x": 1})
        )
    )
    link = "/7.1/instrument/positioners/rob-x"
    assert companions(made, "axis:rob-x")[link] == SoftLink(link, "/7.1/instrument/rob_x/value")


def test_a_scanned_axis_that_bliss_has_no_start_position_of_is_linked_all_the_same() -> None:
    made = plan(scan(channel("timer:elapsed_time"), axes=("timer:elapsed_time",)))
    assert "/7.1/instrument/positioners" in nodes(made)
    assert "/7.1/instrument/positioners/elapsed_time" in companions(made, "timer:elapsed_time")


def test_channels_whose_names_become_the_same_are_both_saved() -> None:
    made = plan(scan(channel("c:a-b"), channel("c:a b"), channel("c:a_b")))
    paths = [stream(made, name).path for name in ("c:a-b", "c:a b", "c:a_b")]
    assert paths == [f"/7.1/instrument/{group}/data" for group in ("a_b", "a_b_2", "a_b_3")]
    assert "/7.1/measurement/a_b_2" in companions(made, "c:a b")
    assert made.warnings == (
        "channel c:a b is saved in a_b_2: the name a_b is taken",
        "channel c:a_b is saved in a_b_3: the name a_b is taken",
    )


def test_an_axis_and_a_detector_of_the_same_name_do_not_share_a_group() -> None:
    made = plan(scan(channel("axis:a b"), channel("c:a_b"), axes=("axis:a b",)))
    assert stream(made, "axis:a b").path == "/7.1/instrument/a_b/value"
    assert stream(made, "c:a_b").path == "/7.1/instrument/a_b_2/data"


@pytest.mark.parametrize("name", ["name", "positioners", "positioners_start"])
def test_no_channel_takes_a_name_of_the_instrument(name: str) -> None:
    made = plan(scan(channel(f"c:{name}"), positioners=Positioners(start={"robx": 0})))
    assert stream(made, f"c:{name}").path == f"/7.1/instrument/{name}_2/data"


def test_two_links_of_measurement_never_have_the_same_name() -> None:
    info = devices(
        c__d={"device_type": "samplingcounter", "data_type": "signal"},
        c__d_N={"device_type": "samplingcounter"},
        x__d_N={},
    )
    made = plan(scan(channel("c:d"), channel("c:d_N"), channel("x:d_N"), info=info))
    links = [
        node.path
        for name in made.streams
        for node in companions(made, name).values()
        if "/measurement/" in node.path
    ]
    assert len(links) == len(set(links)) == 3


def test_a_principal_dataset_that_is_not_called_data_is_linked_as_data() -> None:
    info = devices(
        m__spectrum_det0={"device_type": "mca", "device_info": {"type": "mca"}},
        m__data_det1={"device_type": "mca"},
        m__spectrum_det1={"device_type": "mca"},
    )
    spectrum = {"shape": (64,)}
    made = plan(
        scan(
            channel("m:spectrum_det0", **spectrum),
            channel("m:spectrum_det1", **spectrum),
            channel("m:data_det1"),
            info=info,
        )
    )
    assert companions(made, "m:spectrum_det0")["/7.1/instrument/m_det0/data"] == SoftLink(
        "/7.1/instrument/m_det0/data", "spectrum"
    )
    assert "/7.1/instrument/m_det1/data" not in companions(made, "m:spectrum_det1")
    assert stream(made, "m:data_det1").path == "/7.1/instrument/m_det1/data"
    assert nodes(made)["/7.1/instrument/m_det0/type"] == Value("/7.1/instrument/m_det0/type", "mca")
    assert stream(made, "m:spectrum_det0").attributes == {"interpretation": "spectrum"}


@pytest.mark.parametrize("dtype", ["?", "<c16", ">i4", "<u8"])
def test_a_dtype_is_kept_as_it_was_published(dtype: str) -> None:
    made = plan(scan(channel("c:x", dtype=np.dtype(dtype))))
    assert stream(made, "c:x").dtype == np.dtype(dtype)


def test_a_json_channel_is_text() -> None:
    made = plan(scan(channel("c:x", kind=ChannelKind.JSON, dtype=None, shape=None)))
    assert (stream(made, "c:x").kind, stream(made, "c:x").dtype) == (PointKind.TEXT, None)


@pytest.mark.parametrize("shape", [(None,), (None, None), (3, None)])
def test_points_of_varying_shape_are_planned(shape: tuple[int | None, ...]) -> None:
    assert stream(plan(scan(channel("c:x", shape=shape))), "c:x").shape == shape


def test_a_channel_that_cannot_be_saved_is_named_in_the_file_and_in_the_plan() -> None:
    made = plan(
        scan(
            channel("c:bad", problem="dtype 'foo' is unknown"),
            channel("cam:image", kind=ChannelKind.IMAGE_REFERENCE, dtype=None, shape=None),
            info=devices(cam__image={"device_type": "lima", "device_info": {"type": "lima"}}),
        )
    )
    assert made.streams == {}
    assert len(made.warnings) == 2
    assert "c:bad is not saved: dtype 'foo' is unknown" in made.warnings[0]
    assert nodes(made)["/7.1/writer/description"].value == "\n".join(made.warnings)
    assert nodes(made)["/7.1/instrument/cam/type"].value == "lima"


def test_channels_without_a_stream_are_named_unless_the_scan_was_never_prepared() -> None:
    assert plan(scan(channel("c:x"), missing_channels=("c:y", "c:z"))).warnings == (
        "channels that BLISS announced but never opened: c:y, c:z",
    )
    assert plan(scan(missing_channels=("c:y",))).warnings == ()


def test_what_the_engine_has_to_tell_stands_beside_the_data() -> None:
    moment = replace(RUNNING, writer_status="FAILED", warnings=("points 3 to 7 of c:x were lost",))
    found = nodes(plan(scan(channel("c:x")), moment))
    assert found["/7.1/writer/status"].value == "FAILED"
    assert found["/7.1/writer/description"].value == "points 3 to 7 of c:x were lost"


def test_user_keys_without_category_are_kept() -> None:
    info = {"npoints": 3, "user": {"name": "alice"}, "note": "x", "scan_meta_categories": ["s"]}
    made = nodes(plan(scan(info={**info, "s": {"a": 1}, "instrument": {"slit": {"gap": 2}}})))
    assert made["/7.1/scan_info/user/name"].value == "alice"
    assert made["/7.1/scan_info/note"].value == "x"
    assert made["/7.1/s/a"].value == 1
    assert made["/7.1/instrument/slit/gap"].value == 2
    assert not any(path.startswith("/7.1/scan_info/npoints") for path in made)


def test_metadata_never_take_the_place_of_data() -> None:
    info = {
        "scan_meta_categories": ["title", "plot"],
        "title": {"a": 1},
        "plot": {"b": 2},
        "instrument": {"x": {"data": 5, "gain": 1}, "y": 3},
    }
    made = plan(scan(channel("c:x"), channel("c:y"), info=info))
    found = nodes(made)
    assert found["/7.1/title"].value == "ascan robx 0 1 4 0.1"
    assert found["/7.1/title_2/a"].value == 1
    assert found["/7.1/plot_2/b"].value == 2
    assert found["/7.1/instrument/x"] == Group("/7.1/instrument/x", {"NX_class": "NXdetector"})
    assert found["/7.1/instrument/x/gain"].value == 1
    assert found["/7.1/instrument/x/data_2"].value == 5
    assert found["/7.1/instrument/y_2"].value == 3
    assert len(made.warnings) == 4


def test_channels_outside_every_part_of_the_chain_are_saved_in_the_first_entry() -> None:
    made = plan(scan(channel("c:x"), subscans=()))
    assert made.entries == ("7.1",)
    assert stream(made, "c:x").path == "/7.1/instrument/x/data"


def test_the_time_of_the_end_is_written_after_all_else_and_only_then() -> None:
    two = (Subscan("a", (), ("c:x",)), Subscan("b", (), ()))
    description = scan(channel("c:x"), subscans=two)
    assert plan(description).last == ()
    assert plan(description).final_root_attributes == {}
    made = plan(description, replace(RUNNING, end_time="T", end_reason="SUCCESS", n_points={}))
    assert made.last == (Value("/7.1/end_time", "T"), Value("/7.2/end_time", "T"))
    assert made.final_root_attributes == {"default": "7.2"}
    assert nodes(made)["/7.2/end_reason"].value == "SUCCESS"
    assert "/7.1/end_time" not in nodes(made)


def finished(**n_points: int) -> Moment:
    counts = {name.replace("__", ":"): count for name, count in n_points.items()}
    return Moment("SUCCEEDED", "D", end_time="T", n_points=counts)


def test_the_plot_is_the_first_detector_over_the_scanned_axis() -> None:
    description = scan(channel("axis:x"), channel("t:epoch"), channel("c:d"), axes=("axis:x",))
    assert companions(plan(description), "c:d")["/7.1/plot"] == Group(
        "/7.1/plot", {"NX_class": "NXdata", "signal": "d"}
    )
    made = plan(description, finished(axis__x=5, t__epoch=5, c__d=5))
    assert nodes(made)["/7.1/plot"].attributes["axes"] == ("x",)
    assert nodes(made)["/7.1/plot/x"] == SoftLink("/7.1/plot/x", "/7.1/instrument/x/value")
    assert nodes(made)["/7.1"].attributes["default"] == "plot"


def test_an_axis_with_more_points_than_the_signal_is_shown_as_far_as_the_signal_goes() -> None:
    description = scan(channel("axis:x", unit="mm"), channel("c:d"), axes=("axis:x",))
    made = plan(description, finished(axis__x=6, c__d=5))
    assert nodes(made)["/7.1/plot"].attributes == {"NX_class": "NXdata", "signal": "d"}
    copy, plot, end = made.last
    assert copy == FirstPoints(
        "/7.1/plot/x", "/7.1/instrument/x/value", 5, {"units": "mm", "long_name": "x (mm)"}
    )
    assert plot == Group("/7.1/plot", {"NX_class": "NXdata", "signal": "d", "axes": ("x",)})
    assert end.path == "/7.1/end_time"


def test_an_axis_with_fewer_points_than_the_signal_is_not_shown() -> None:
    description = scan(channel("axis:x"), channel("c:d"), axes=("axis:x",))
    made = plan(description, finished(axis__x=4, c__d=5))
    assert nodes(made)["/7.1/plot"].attributes["axes"] == ("point",)
    assert nodes(made)["/7.1/plot/point"].value.tolist() == [0, 1, 2, 3, 4]


def test_dimensions_that_nothing_is_known_of_are_counted() -> None:
    description = scan(
        channel("c:point", shape=(3, 4)), info={"display_extra": {"plotselect": ["c:point"]}}
    )
    made = nodes(plan(description, finished(c__point=5)))
    assert made["/7.1/plotselect"].attributes["axes"] == ("point_2", "row", "column")
    lengths = {name: len(made[f"/7.1/plotselect/{name}"].value) for name in ("point_2", "row")}
    assert lengths == {"point_2": 5, "row": 3}
    over_x = scan(channel("axis:x"), channel("c:d", shape=(2, 3, 4)), axes=("axis:x",))
    made = nodes(plan(over_x, finished(axis__x=5, c__d=5)))
    dimensions = ("dimension_1", "dimension_2", "dimension_3")
    assert made["/7.1/plot"].attributes["axes"] == ("x", *dimensions)


def test_an_index_is_not_made_as_long_as_the_points_of_a_long_scan() -> None:
    long = nodes(plan(scan(channel("c:d")), finished(c__d=1_000_000)))
    assert long["/7.1/plot"].attributes == {"NX_class": "NXdata", "signal": "d"}
    assert "/7.1/plot/point" not in long
    spectra = scan(channel("axis:x"), channel("c:d", shape=(100_000, 3)), axes=("axis:x",))
    wide = nodes(plan(spectra, finished(axis__x=5, c__d=5)))
    assert wide["/7.1/plot"].attributes["axes"] == ("x", ".", "column")


def test_a_detector_without_points_is_not_plotted() -> None:
    description = scan(channel("axis:x"), channel("c:d"), channel("c:e"), axes=("axis:x",))
    made = plan(description, finished(axis__x=5, c__e=5))
    assert nodes(made)["/7.1/plot"].attributes["signal"] == "e"
    only_axis = plan(description, finished(axis__x=5))
    plotted = {"NX_class": "NXdata", "signal": "x", "axes": ("point",)}
    assert nodes(only_axis)["/7.1/plot"].attributes == plotted
    nothing = plan(description, finished())
    assert "/7.1/plot" not in nodes(nothing)
    assert "default" not in nodes(nothing)["/7.1"].attributes


def test_what_viewers_cannot_draw_is_not_plotted() -> None:
    description = scan(
        channel("c:flag", dtype=np.dtype("?")),
        channel("c:z", dtype=np.dtype("<c16")),
        channel("c:text", kind=ChannelKind.JSON, dtype=None, shape=None),
        channel("c:ragged", shape=(None,)),
        channel("c:spectrum", shape=(8,)),
    )
    plotted = [
        name for name in description.channels if "/7.1/plot" in companions(plan(description), name)
    ]
    assert plotted == ["c:spectrum"]


def mesh(axis_kind: str, **parts: Any) -> ScanDescription:
    fast = {"start": 0, "stop": 3, "points": 12, "axis_points": 4, "axis_id": 0}
    slow = {"start": 5, "stop": 7, "points": 12, "axis_points": 3, "axis_id": 1}
    return scan(
        channel("axis:x", hints={**fast, "axis_kind": axis_kind}),
        channel("axis:y", hints={**slow, "axis_kind": "forth"}),
        channel("c:d"),
        channel("c:e"),
        axes=("axis:x", "axis:y"),
        info={"display_extra": {"plotselect": ["c:d", "c:e"]}},
        **parts,
    )


def test_a_chosen_plot_of_a_mesh_shows_its_grid_from_the_first_point_on() -> None:
    live = companions(plan(mesh("forth")), "c:d")
    assert live["/7.1/plotselect/d"] == ReshapedView(
        "/7.1/plotselect/d", "/7.1/instrument/d/data", (3, 4), {"interpretation": "image"}
    )
    np.testing.assert_array_equal(live["/7.1/plotselect/y"].value, [5, 6, 7])
    np.testing.assert_array_equal(live["/7.1/plotselect/x"].value, [0, 1, 2, 3])
    assert live["/7.1/plotselect"].attributes["axes"] == ("y", "x")
    assert live["/7.1"].attributes["default"] == "plotselect"


def test_a_mesh_that_goes_back_and_forth_is_plotted_as_points_in_the_plane() -> None:
    made = plan(mesh("backnforth"), finished(axis__x=12, axis__y=12, c__d=12, c__e=12))
    assert nodes(made)["/7.1/plotselect"].attributes == {
        "NX_class": "NXdata",
        "signal": "d",
        "auxiliary_signals": ("e",),
        "axes": ("x", "y"),
    }


def test_ten_thousand_channels_are_planned() -> None:
    made = plan(scan(*(channel(f"c:channel-{index}") for index in range(10_000))))
    assert len({stream(made, name).path for name in made.streams}) == 10_000


def test_spectra_have_an_axis_of_bins_under_a_name_that_is_free() -> None:
    spectra = channel("m:bin", shape=(4,))
    made = plan(scan(channel("axis:x"), spectra, axes=("axis:x",)), finished(axis__x=3, m__bin=3))
    assert nodes(made)["/7.1/plot"].attributes["axes"] == ("x", "bin_2")
    np.testing.assert_array_equal(nodes(made)["/7.1/plot/bin_2"].value, [0, 1, 2, 3])
