from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from file.compare import compare
from file.plan_interpreter import PlanInterpreter
from file.recorded import RecordedScan, recorded_scans

from tango_saver.layout import Moment, plan_scan
from tango_saver.model.plan import FilePlan
from tango_saver.model.scan import ChannelKind

GOLDEN = Path(__file__).parent / "golden"
RECORDINGS = (
    "ascan", "a2scan_pseudo", "lookupscan", "amesh", "loopscan_modes", "samples", "ct_saved",
    "ct_unsaved", "mca", "two_timers", "stepper_and_timer", "timescan_aborted", "scan_raises",
    "prepare_fails", "positioners_move", "quick200", "parallel", "long_flat", "uneven", "no_data",
    "dtypes", "plotselect", "metadata", "sequence", "options", "plots",
)  # fmt: skip
QUICK = tuple(name for name in RECORDINGS if name != "quick200")
"""Without the 200 scans that look all alike."""
NOW = "2026-11-24T17:00:00+00:00"


def opening_plan(scan: RecordedScan) -> FilePlan:
    return plan_scan("nexus", scan.opening, Moment("RUNNING", NOW))


def closing_plan(scan: RecordedScan) -> FilePlan:
    moment = Moment("SUCCEEDED", NOW, end_time=NOW, n_points=scan.n_points)
    return plan_scan("nexus", scan.closing, moment)


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_object_of_the_golden_file_is_planned(
    name: str, recordings: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.h5"
    write(ours, saved_scans(recordings, name))
    golden = next(GOLDEN.glob(f"{name}.h5*"))
    assert compare(golden, ours, name) == []


def saved_scans(recordings: Path, name: str) -> list[RecordedScan]:
    return [scan for scan in recorded_scans(recordings / f"{name}.json.gz") if scan.closing.saved]


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_plan_has_its_parents_before_their_children_and_no_path_twice(
    name: str, recordings: Path
) -> None:
    for scan in saved_scans(recordings, name):
        for plan in (opening_plan(scan), closing_plan(scan)):
            datasets = [dataset for streams in plan.streams.values() for dataset in streams]
            paths = [node.path for node in plan.nodes if not is_plot(node.path)]
            assert len(set(paths)) == len(paths)
            assert len({dataset.path for dataset in datasets}) == len(datasets)
            assert not set(paths) & {dataset.path for dataset in datasets}
            seen = {""}
            for path in paths:
                assert path.rpartition("/")[0] in seen
                seen.add(path)


def is_plot(path: str) -> bool:
    return path.split("/")[2:3] in (["plot"], ["plotselect"])


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_plan_of_the_end_has_all_paths_of_the_plan_of_the_start(
    name: str, recordings: Path
) -> None:
    for scan in saved_scans(recordings, name):
        opening, closing = opening_plan(scan), closing_plan(scan)
        assert {node.path for node in opening.nodes} <= {node.path for node in closing.nodes}
        for channel, datasets in opening.streams.items():
            assert [d.path for d in datasets] == [d.path for d in closing.streams[channel]]


@pytest.mark.parametrize("name", ["ascan", "amesh", "plotselect", "uneven", "mca", "no_data"])
def test_a_viewer_finds_no_dangling_link_and_no_broken_plot_at_any_time(
    name: str, recordings: Path, tmp_path: Path
) -> None:
    for index, scan in enumerate(saved_scans(recordings, name)):
        channels = list(scan.points)
        for turn, order in enumerate((channels, channels[::-1])):
            ours = tmp_path / f"{index}_{turn}.h5"
            plan = opening_plan(scan)
            interpreter = PlanInterpreter(ours)
            interpreter.open_scan(plan)
            interpreter.close()
            for channel in order:
                interpreter = PlanInterpreter(ours)
                interpreter.write_points(plan, {channel: scan.points[channel][:1]})
                interpreter.close()
                with h5py.File(ours) as file:
                    assert dangling_links(file) == []
                    assert broken_plots(file) == []


@pytest.mark.parametrize("name", QUICK)
def test_every_entry_with_points_has_a_default_plot_that_fits(
    name: str, recordings: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.h5"
    write(ours, saved_scans(recordings, name))
    with h5py.File(ours) as file:
        assert dangling_links(file) == []
        assert broken_plots(file) == []
        assert file.attrs["default"] in file
        for entry in file.values():
            assert ("default" in entry.attrs) == (len(entry["measurement"]) > 0)
            assert "default" not in entry.attrs or entry.attrs["default"] in entry


@pytest.mark.parametrize("name", QUICK)
def test_every_published_point_has_its_dataset(name: str, recordings: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.h5"
    scans = saved_scans(recordings, name)
    write(ours, scans)
    with h5py.File(ours) as file:
        for scan in scans:
            streams = opening_plan(scan).streams
            for channel, points in scan.points.items():
                if scan.opening.channels[channel].kind is ChannelKind.SUBSCANS:
                    continue
                (dataset,) = streams[channel]
                assert (dataset.path in file) == (len(points) > 0)
                if points:
                    assert file[dataset.path].dtype == dataset.dtype
                for point, stored in zip(points, file.get(dataset.path, ()), strict=True):
                    inside = stored[tuple(slice(size) for size in np.shape(point))]
                    np.testing.assert_array_equal(inside, point)


def write(path: Path, scans: list[RecordedScan]) -> None:
    interpreter = PlanInterpreter(path)
    for scan in scans:
        plan = opening_plan(scan)
        interpreter.open_scan(plan)
        interpreter.write_points(plan, scan.points)
        interpreter.close_scan(closing_plan(scan))
    interpreter.close()


def dangling_links(group: h5py.Group) -> list[str]:
    found = []
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            found += [] if name in group else [f"{group.name}/{name} -> {link.path}"]
        elif isinstance(group[name], h5py.Group):
            found += dangling_links(group[name])
    return found


def broken_plots(file: h5py.File) -> list[str]:
    """Default plots whose signal is absent, or whose axes or other signals do not fit it."""
    found = []
    for entry in file.values():
        if "default" not in entry.attrs:
            continue
        plot = entry[entry.attrs["default"]]
        signal = plot[plot.attrs["signal"]]
        axes = list(plot.attrs.get("axes", ()))
        is_plane = signal.ndim == 1 and len(axes) == 2
        lengths = signal.shape * 2 if is_plane else signal.shape
        found += [
            f"{plot.name}/{axis}"
            for axis, length in zip(axes, lengths, strict=False)
            if axis != "." and plot[axis].shape != (length,)
        ]
        others = plot.attrs.get("auxiliary_signals", ())
        found += [f"{plot.name}/{name}" for name in others if plot[name].shape != signal.shape]
    return found
