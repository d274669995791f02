"""Opening, entries, locks and nodes of a target."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from disks import holder
from file.reader_process import ReaderProcess
from file.sink_plans import PLAIN_FILTERS, plan_of, stream

from tango_saver.errors import (
    DatasetError,
    EntryExistsError,
    TargetLockedError,
    TargetUnusableError,
)
from tango_saver.model.plan import (
    ExternalLink,
    Filter,
    FirstPoints,
    Group,
    ReshapedView,
    SoftLink,
    Value,
)
from tango_saver.model.records import FixedPoints
from tango_saver.sink.file import TargetFile


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_locked_target_names_its_holder(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "data.h5"
    TargetFile.open(path).close()
    with holder(path, mode) as process, pytest.raises(TargetLockedError) as caught:
        TargetFile.open(path)
    for part in (str(path), str(process.pid), getpass.getuser(), socket.gethostname()):
        assert part in str(caught.value)
    TargetFile.open(path).close()


def test_our_lock_keeps_other_writers_out_and_lets_readers_in(
    tmp_path: Path, reader: ReaderProcess
) -> None:
    path = tmp_path / "data.h5"
    file = TargetFile.open(path)
    file.begin(plan_of(path))
    code = f"import h5py; h5py.File({str(path)!r}, 'a')"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "lock" in other.stderr
    assert reader.read(path, "/1.1/title") == [b"a scan"]
    file.close()


def test_a_target_is_opened_once_in_a_process(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    file = TargetFile.open(path)
    with pytest.raises(TargetLockedError, match="this process"):
        TargetFile.open(path)
    file.close()
    file.close()
    TargetFile.open(path).close()


def test_what_is_no_file_of_ours_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("not HDF5")
    (tmp_path / "folder.h5").mkdir()
    for path in (tmp_path / "text.h5", tmp_path / "folder.h5", tmp_path / "text.h5" / "data.h5"):
        with pytest.raises(TargetUnusableError, match=str(path)) as caught:
            TargetFile.open(path)
        assert caught.value.advice
    assert (tmp_path / "text.h5").read_text() == "not HDF5"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(TargetUnusableError, match=r"[Pp]ermission"):
        TargetFile.open(tmp_path / "closed" / "data.h5")


def test_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "proposal" / "sample" / "data.h5"
    TargetFile.open(path).close()
    assert h5py.is_hdf5(path)


def test_a_new_file_says_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    file = TargetFile.open(path)
    file.begin(plan_of(path)).finish(plan_of(path))
    file.close()
    with h5py.File(path) as opened:
        attributes = dict(opened.attrs)
    assert attributes["file_name"] == str(path)
    assert attributes["file_time"][-6] in "+-"
    assert attributes["NX_class"] == "NXroot"
    assert attributes["default"] == "1.1"
    assert {"HDF5_Version", "h5py_version", "creator"} <= attributes.keys()

    file = TargetFile.open(path)
    second = plan_of(path, entry="2.1")
    file.begin(second).finish(second)
    assert file.entry_names() == ["1.1", "2.1"]
    file.close()
    with h5py.File(path) as opened:
        assert dict(opened.attrs) == attributes | {"default": "2.1"}


def test_an_entry_that_exists_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    file = TargetFile.open(path)
    plan = plan_of(path, stream("c"))
    scan = file.begin(plan)
    scan.append("c", 0, FixedPoints(np.arange(5.0)))
    with pytest.raises(EntryExistsError, match=r"1\.1"):
        file.begin(plan_of(path, nodes=[Group("/1.1/new")]))
    scan.append("c", 5, FixedPoints(np.arange(2.0)))
    scan.finish(plan)
    file.close()
    with h5py.File(path) as opened:
        assert sorted(opened["1.1"]) == ["end_time", "instrument", "measurement", "title"]
        assert opened["1.1/measurement/c"].shape == (7,)


def test_the_last_nodes_come_last(tmp_path: Path, reader: ReaderProcess) -> None:
    path = tmp_path / "data.h5"
    file = TargetFile.open(path)
    plan = plan_of(path, stream("c"))
    scan = file.begin(plan)
    scan.append("c", 0, FixedPoints(np.arange(5.0)))
    file.flush()
    assert reader.read(path, "/1.1/end_time") == [None]
    scan.finish(plan)
    end, points = reader.read(path, "/1.1/end_time", "/1.1/measurement/c")
    assert end == b"2026-11-24T18:00:00+01:00"
    assert points.tolist() == [0, 1, 2, 3, 4]
    file.close()


def test_the_newest_of_overlapping_scans_stays_the_default(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    file = TargetFile.open(path)
    plans = [
        replace(plan_of(path, entry=entry), final_root_attributes={"default": entry})
        for entry in ("9.1", "10.1")
    ]
    older, newer = [file.begin(plan) for plan in plans]
    newer.finish(plans[1])
    older.finish(plans[0])
    file.close()
    with h5py.File(path) as opened:
        assert opened.attrs["default"] == "10.1"


def test_nodes_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    nodes = [
        Group("/1.1/instrument/robx", {"NX_class": "NXpositioner", "flag": True, "n": 3}),
        Value("/1.1/text", "µm", {"texts": ("a", "b"), "array": np.arange(3, dtype=">i2")}),
        Value("/1.1/empty_text", ""),
        Value("/1.1/texts", ("a", "", "é")),
        Value("/1.1/no_texts", ()),
        Value("/1.1/flag", value=True),
        Value("/1.1/integer", -3),
        Value("/1.1/large", 2**63),
        Value("/1.1/larger", 2**70),
        Value("/1.1/number", 1.5),
        Value("/1.1/complex", 1 + 2j),
        Value("/1.1/array", np.arange(6, dtype=">f4").reshape(2, 3)),
        Value("/1.1/text_array", np.array([["a", "b"]])),
        Value("/1.1/empty_array", np.empty((0, 3))),
        SoftLink("/1.1/absolute", "/1.1/text"),
        SoftLink("/1.1/instrument/relative", "robx"),
        SoftLink("/1.1/dangling", "/1.1/not/there"),
        ExternalLink("/1.1/external", "scan0001/lima.h5", "/entry/data"),
        Value("/1.1/made/on/the/way", 1),
    ]
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, nodes=nodes))
    assert scan.warnings == ()
    file.close()
    with h5py.File(path) as opened:
        entry = opened["1.1"]
        assert dict(entry["instrument/robx"].attrs) == {
            "NX_class": "NXpositioner",
            "flag": True,
            "n": 3,
        }
        assert entry["text"].asstr()[()] == "µm"
        assert entry["text"].attrs["texts"].tolist() == ["a", "b"]
        assert entry["text"].attrs["array"].dtype == np.dtype(">i2")
        assert entry["empty_text"].asstr()[()] == ""
        assert entry["texts"].asstr()[()].tolist() == ["a", "", "é"]
        assert entry["no_texts"].shape == (0,)
        assert (entry["flag"].dtype, entry["flag"][()]) == (np.dtype(bool), True)
        assert (entry["integer"].dtype, entry["integer"][()]) == (np.dtype("i8"), -3)
        assert (entry["large"].dtype, entry["large"][()]) == (np.dtype("u8"), 2**63)
        assert entry["larger"][()] == float(2**70)
        assert (entry["number"].dtype, entry["number"][()]) == (np.dtype("f8"), 1.5)
        assert entry["complex"][()] == 1 + 2j
        assert entry["array"].dtype == np.dtype(">f4")
        assert entry["array"][()].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert entry["text_array"].asstr()[()].tolist() == [["a", "b"]]
        assert entry["empty_array"].shape == (0, 3)
        assert entry["absolute"] == entry["text"]
        assert entry["instrument/relative"] == entry["instrument/robx"]
        assert entry.get("dangling", getlink=True).path == "/1.1/not/there"
        external = entry.get("external", getlink=True)
        assert (external.filename, external.path) == ("scan0001/lima.h5", "/entry/data")
        assert entry["made/on/the/way"][()] == 1


def test_a_node_that_hdf5_refuses_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    nodes = [
        Value("/1.1/title/below", 1),
        Group("/1.1/large", {"array": np.zeros(100_000), "small": 1}),
        Value("/1.1/fine", 1),
    ]
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, nodes=nodes))
    assert len(scan.warnings) == 2
    assert "/1.1/title/below" in scan.warnings[0]
    assert "/1.1/large" in scan.warnings[1]
    file.close()
    with h5py.File(path) as opened:
        assert opened["1.1/fine"][()] == 1


def test_a_companion_takes_the_place_of_a_start_value(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    link = SoftLink("/1.1/instrument/positioners/robx", "/1.1/instrument/robx/data")
    spec = stream("robx", companions=(Group("/1.1/instrument/positioners"), link))
    plan = plan_of(path, spec, nodes=[Value(link.path, 1.5), Value("/1.1/other", 1)])
    file = TargetFile.open(path)
    scan = file.begin(plan)
    scan.append("robx", 0, FixedPoints(np.arange(3.0)))
    moved = plan_of(path, spec, nodes=[Value(link.path, 7.5), Value("/1.1/other", 2)])
    scan.finish(moved)
    file.close()
    assert scan.warnings == ()
    with h5py.File(path) as opened:
        assert opened[link.path][()].tolist() == [0, 1, 2]
        assert opened["1.1/other"][()] == 2


def test_an_update_adds_and_replaces_and_never_removes(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    before = [
        Group("/1.1/notes", {"NX_class": "NXcollection"}),
        Value("/1.1/same", 1.0, {"units": "mm"}),
        Value("/1.1/changed", 1.0),
        Value("/1.1/other_type", 1),
        Value("/1.1/dropped", 1),
        SoftLink("/1.1/link", "/1.1/same"),
    ]
    after = [
        Group("/1.1/notes", {"NX_class": "NXnote", "index": 1}),
        Value("/1.1/same", 1.0, {"units": "um"}),
        Value("/1.1/changed", np.arange(3)),
        Value("/1.1/other_type", value=True),
        Value("/1.1/notes/new", "text"),
        SoftLink("/1.1/link", "/1.1/changed"),
    ]
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, nodes=before))
    scan.update(plan_of(path, nodes=after))
    scan.update(plan_of(path, nodes=after))
    assert scan.warnings == ()
    file.close()
    with h5py.File(path) as opened:
        entry = opened["1.1"]
        assert dict(entry["notes"].attrs) == {"NX_class": "NXnote", "index": 1}
        assert entry["same"].attrs["units"] == "um"
        assert entry["changed"][()].tolist() == [0, 1, 2]
        assert entry["other_type"].dtype == np.dtype(bool)
        assert entry["dropped"][()] == 1
        assert entry["notes/new"].asstr()[()] == "text"
        assert entry["link"] == entry["changed"]


def test_a_channel_without_points_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    plan = plan_of(path, stream("empty"), stream("full"))
    file = TargetFile.open(path)
    scan = file.begin(plan)
    scan.append("full", 0, FixedPoints(np.arange(3.0)))
    scan.append("empty", 0, FixedPoints(np.empty(0)))
    scan.finish(plan)
    file.close()
    with h5py.File(path) as opened:
        assert list(opened["1.1/instrument"]) == ["full"]
        assert list(opened["1.1/measurement"]) == ["full"]


@pytest.mark.parametrize("filter_", PLAIN_FILTERS)
def test_a_mesh_is_seen_on_its_grid_while_it_grows(
    tmp_path: Path, reader: ReaderProcess, filter_: Filter
) -> None:
    path = tmp_path / "data.h5"
    view = ReshapedView(
        "/1.1/plot/c", "/1.1/instrument/c/data", (3, 4), {"interpretation": "image"}
    )
    spec = stream("c", ">f4", (), (5,), filter_, companions=(view,))
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, spec))
    scan.append("c", 0, FixedPoints(np.arange(6, dtype=">f4")))
    file.flush()
    (grid,) = reader.read(path, view.path)
    np.testing.assert_array_equal(grid, [[0, 1, 2, 3], [4, 5, np.nan, np.nan], [np.nan] * 4])
    scan.append("c", 6, FixedPoints(np.arange(6, 14, dtype=">f4")))
    scan.finish(plan_of(path, spec))
    file.close()
    (grid,) = reader.read(path, view.path)
    np.testing.assert_array_equal(grid, np.arange(12).reshape(3, 4))
    assert grid.dtype == np.dtype(">f4")
    moved = tmp_path / "elsewhere.h5"
    path.rename(moved)
    np.testing.assert_array_equal(reader.read(moved, view.path)[0], np.arange(12).reshape(3, 4))


@pytest.mark.parametrize("filter_", PLAIN_FILTERS)
def test_the_first_points_are_copied_when_all_are_in_the_file(
    tmp_path: Path, filter_: Filter
) -> None:
    path, n_points = tmp_path / "data.h5", 300_001
    spec = stream("c", ">f4", (), (1000,), filter_)
    attributes = {"units": "mm"}
    copy = FirstPoints("/1.1/plot/c", "/1.1/instrument/c/data", n_points - 1, attributes)
    missing = FirstPoints("/1.1/plot/d", "/1.1/instrument/d/data", 3)
    file = TargetFile.open(path)
    scan = file.begin(plan_of(path, spec))
    points = np.arange(n_points, dtype=">f4")
    scan.append("c", 0, FixedPoints(points))
    plan = plan_of(path, spec)
    scan.finish(replace(plan, last=(copy, missing, *plan.last)))
    file.close()
    (sentence,) = scan.warnings
    assert "/1.1/plot/d" in sentence
    with h5py.File(path) as opened:
        made = opened["1.1/plot/c"]
        assert not made.is_virtual
        assert (made.dtype, dict(made.attrs)) == (np.dtype(">f4"), attributes)
        np.testing.assert_array_equal(made[()], points[:-1])
        assert "end_time" in opened["1.1"]


def test_a_dataset_that_cannot_be_made_costs_its_channel_alone(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    bad = stream("bad", "<f8", (), (16, 2))
    plan = plan_of(path, bad, stream("good"))
    file = TargetFile.open(path)
    scan = file.begin(plan)
    with pytest.raises(DatasetError, match=r"/1\.1/instrument/bad/data"):
        scan.append("bad", 0, FixedPoints(np.arange(3.0)))
    scan.append("good", 0, FixedPoints(np.arange(3.0)))
    scan.finish(plan)
    file.close()
    assert list(scan.failed_channels) == ["bad"]
    with h5py.File(path) as opened:
        assert opened["1.1/measurement/good"].shape == (3,)
