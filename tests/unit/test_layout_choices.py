"""What the properties keepshape and multivalue_positioners do; masters and members."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tango_saver.layout import LayoutOptions, Member, Moment, plan_scan
from tango_saver.layout.mesh import mesh_shape
from tango_saver.model.plan import (
    ExternalLink,
    FilePlan,
    Group,
    ReshapedView,
    SoftLink,
    Value,
    VirtualDataset,
)
from tango_saver.model.scan import (
    ChannelKind,
    ChannelSpec,
    DeviceSpec,
    ScanDescription,
    ScanKey,
    ScanState,
    Subscan,
)

RUNNING = Moment("RUNNING", "2026-11-24T17:00:00+00:00")
MESH = {"data_dim": 2, "npoints1": 4, "npoints2": 3}


def scan(*axes: str, detector: ChannelSpec | None = None, **parts: Any) -> ScanDescription:
    names = [*axes, *([detector.name] if detector else [])]
    channels = {
        name: ChannelSpec(name, name, ChannelKind.NUMERIC, np.dtype("<f8"), ()) for name in axes
    }
    if detector:
        channels[detector.name] = detector
    default: dict[str, Any] = {
        "key": ScanKey("k"),
        "session": "s",
        "name": "amesh",
        "number": 7,
        "state": ScanState.PREPARED,
        "saved": True,
        "writer": "nexus",
        "target": "/data/x.h5",
        "state_stream": "t",
        "n_points": 12,
        "info": MESH,
        "subscans": (Subscan("axis", ("top", "d"), tuple(names)),),
        "devices": {"top": DeviceSpec("top", "axis", axes, ("d",)), "d": DeviceSpec("d", "d")},
        "channels": channels,
    }
    return ScanDescription(**{**default, **parts})


def spectrum(shape: tuple[int | None, ...] = (8,)) -> ChannelSpec:
    return ChannelSpec("mca:spec", "m", ChannelKind.NUMERIC, np.dtype("<u4"), shape)


def plan(description: ScanDescription, **options: bool) -> FilePlan:
    return plan_scan("nexus", description, RUNNING, LayoutOptions(**options))


def companions(made: FilePlan, channel: str) -> dict[str, Any]:
    (dataset,) = made.streams[channel]
    return {node.path: node for node in dataset.companions}


def test_a_mesh_is_flat_unless_its_shape_shall_be_kept() -> None:
    (dataset,) = plan(scan("axis:x", "axis:y")).streams["axis:x"]
    assert dataset.path == "/7.1/instrument/x/value"


def test_a_kept_shape_is_a_view_of_the_flat_points_and_every_link_leads_to_it() -> None:
    made = plan(scan("axis:x", "axis:y"), keepshape=True)
    (dataset,) = made.streams["axis:x"]
    nodes = companions(made, "axis:x")
    view = "/7.1/instrument/x/value"
    assert dataset.path == f"{view}_flat"
    assert nodes[view] == ReshapedView(view, dataset.path, (3, 4), {})
    for link in ("/7.1/measurement/x", "/7.1/instrument/positioners/x"):
        assert nodes[link] == SoftLink(link, view)


def test_spectra_of_a_mesh_are_seen_on_the_grid_too() -> None:
    made = plan(scan("axis:x", "axis:y", detector=spectrum()), keepshape=True)
    view = companions(made, "mca:spec")["/7.1/instrument/spec/data"]
    assert isinstance(view, VirtualDataset)
    assert view.shape == (3, 4, 8)
    assert view.attributes["interpretation"] == "spectrum"
    assert [part.source.start for part in view.sources] == [(0, 0), (4, 0), (8, 0)]
    assert {part.source.n_points for part in view.sources} == {32}
    assert [part.selection.start for part in view.sources] == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


def test_points_without_a_fixed_shape_stay_flat() -> None:
    made = plan(scan("axis:x", "axis:y", detector=spectrum((None,))), keepshape=True)
    (dataset,) = made.streams["mca:spec"]
    assert dataset.path == "/7.1/instrument/spec/data"


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"data_dim": 1, "npoints1": 12},
        {**MESH, "npoints1": 5},
        {**MESH, "npoints2": None},
        {**MESH, "npoints2": True},
        {**MESH, "data_dim": "2"},
        {"data_dim": 100},
        {"data_dim": 3, "npoints1": 4, "npoints2": 3},
    ],
)
def test_what_is_no_mesh_of_as_many_points_has_no_grid(info: dict[str, Any]) -> None:
    assert mesh_shape(scan("axis:x", info=info)) == ()


def test_each_channel_of_a_timer_has_a_group_of_its_own() -> None:
    made = plan(scan("timer:elapsed_time", "timer:epoch", info={}))
    assert made.streams["timer:epoch"][0].path == "/7.1/instrument/epoch/value"


def test_channels_of_a_timer_share_a_group_if_wanted() -> None:
    made = plan(scan("timer:elapsed_time", "timer:epoch", info={}), multivalue_positioners=True)
    group = "/7.1/instrument/timer"
    first, second = made.streams["timer:elapsed_time"][0], made.streams["timer:epoch"][0]
    assert (first.path, second.path) == (f"{group}/value", f"{group}/epoch")
    assert companions(made, "timer:epoch")[group] == Group(group, {"NX_class": "NXpositioner"})
    for name, link, dataset in (
        ("timer:elapsed_time", "timer", first),
        ("timer:epoch", "timer_epoch", second),
    ):
        for place in ("measurement", "instrument/positioners"):
            path = f"/7.1/{place}/{link}"
            assert companions(made, name)[path] == SoftLink(path, dataset.path)


@pytest.mark.parametrize(
    ("axes", "info"), [(("axis:x",), {}), (("axis:x", "axis:y"), MESH), (("x", "y"), {})]
)
def test_one_axis_axes_of_a_mesh_and_names_without_a_device_share_nothing(
    axes: tuple[str, ...], info: dict[str, Any]
) -> None:
    alone = plan(scan(*axes, info=info))
    shared = plan(scan(*axes, info=info), multivalue_positioners=True)
    assert {n: s[0].path for n, s in alone.streams.items()} == {
        n: s[0].path for n, s in shared.streams.items()
    }


def test_masters_get_links_by_the_name_of_the_data_file_and_relative_to_themselves() -> None:
    masters = {"proposal": "/data/all.h5", "collection": "/data/s/s.h5", "scan": "/data/s/d/x.h5"}
    description = scan(
        "axis:x", target="/data/s/d/x.h5", info={"nexuswriter": {"masterfiles": masters}}
    )
    links = {item.file: item.link for item in plan(description).links_from_elsewhere}
    assert links == {
        "/data/all.h5": ExternalLink("/x_7.1", "s/d/x.h5", "/7.1"),
        "/data/s/s.h5": ExternalLink("/x_7.1", "d/x.h5", "/7.1"),
    }


def test_the_data_file_gets_links_by_their_own_names_to_a_scan_with_its_own_file() -> None:
    description = scan("axis:x", target="/data/scan7/bliss_master.h5", index_file="/data/x.h5")
    (made,) = plan(description).links_from_elsewhere
    assert made.file == "/data/x.h5"
    assert made.link == ExternalLink("/7.1", "scan7/bliss_master.h5", "/7.1")
    assert made.root_attributes["file_name"] == "/data/x.h5"


def sequence(*members: Member) -> FilePlan:
    subscans = ChannelSpec("SUBSCANS", "k", ChannelKind.SUBSCANS, None, None)
    return plan_scan("nexus", scan("axis:x", detector=subscans), replace(RUNNING, members=members))


def test_a_sequence_without_scans_has_no_trace_of_any() -> None:
    paths = {node.path for node in sequence().nodes}
    assert not {"/7.1/scans", "/7.1/measurement/scan_numbers"} & paths
    assert "SUBSCANS" not in sequence().streams


def test_members_are_numbered_in_order_and_linked_where_they_are() -> None:
    made = sequence(
        Member(8, "8_ascan", "/data/x.h5", ("8.1", "8.2")),
        Member(1, "1_ct", "/data/next/y.h5", ("1.1",)),
        Member(9, "9_ct", problem="the session does not save it"),
        Member(10),
    )
    nodes = {node.path: node for node in made.nodes}
    numbers = nodes["/7.1/measurement/scan_numbers"]
    assert isinstance(numbers, Value)
    np.testing.assert_array_equal(numbers.value, [8, 1, 9, 10])
    assert nodes["/7.1/scans/8.2"] == SoftLink("/7.1/scans/8.2", "/8.2")
    assert nodes["/7.1/scans/1.1"] == ExternalLink("/7.1/scans/1.1", "next/y.h5", "/1.1")
    sentence = "sub-scan 9_ct is not linked: the session does not save it"
    assert nodes["/7.1/scans/not_linked"].value == (sentence,)
    assert sentence in made.warnings


def test_members_of_the_same_number_in_different_files_are_all_linked() -> None:
    made = sequence(*(Member(1, "1_ct", f"/data/{n}.h5", ("1.1",)) for n in range(3)))
    links = {n.path: n.file for n in made.nodes if isinstance(n, ExternalLink)}
    assert links == {
        "/7.1/scans/1.1": "0.h5",
        "/7.1/scans/1.1_2": "1.h5",
        "/7.1/scans/1.1_3": "2.h5",
    }
    assert made.warnings == ()


def test_names_that_a_sequence_needs_are_left_to_those_that_have_them() -> None:
    custom = ChannelSpec("c:scan_numbers", "c", ChannelKind.NUMERIC, np.dtype("<i8"), ())
    description = scan("axis:x", detector=custom)
    subscans = ChannelSpec("SUBSCANS", "k", ChannelKind.SUBSCANS, None, None)
    (whole,) = description.subscans
    description = replace(
        description,
        channels={**description.channels, "SUBSCANS": subscans},
        subscans=(replace(whole, channels=(*whole.channels, "SUBSCANS")),),
        info={"scan_meta_categories": ["scans"], "scans": {"mine": 1}},
    )
    moment = replace(RUNNING, members=(Member(8, "8_ascan", "/data/x.h5", ("8.1",)),))
    made = plan_scan("nexus", description, moment)
    paths = {node.path for node in made.nodes}
    assert made.streams["c:scan_numbers"][0].path == "/7.1/instrument/scan_numbers/data"
    assert {"/7.1/measurement/scan_numbers_2", "/7.1/scans/mine", "/7.1/scans_2/8.1"} <= paths
