"""Frames of EDF files as pixels, read by HDF5 where they lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from file.reader_process import ReaderProcess
from file.sink_plans import plan_of, stream
from PyMca5.PyMcaIO.EdfFile import EdfFile

from tango_saver.model.plan import (
    FilePlan,
    FrameRun,
    Group,
    PixelDataset,
    ReferenceDataset,
    SoftLink,
)
from tango_saver.sink import pixels as sink_pixels
from tango_saver.sink.file import TargetFile
from tango_saver.sink.scan import ScanInFile
from tango_saver.sink.seal import changes, seal
from tango_saver.sink.sources import Sources

IMAGE = "/1.1/instrument/cam/image"
PIXELS = f"{IMAGE}_pixels"
SHAPE = (4, 3)


def table() -> ReferenceDataset:
    pixels = PixelDataset(
        PIXELS, "cam:image", f"{PIXELS}_parts", np.dtype("u2"), SHAPE,
        {"interpretation": "image"}, (SoftLink("/1.1/measurement/cam_pixels", PIXELS),),
    )  # fmt: skip
    return ReferenceDataset(
        IMAGE, "cam:image", None, (), "", f"{IMAGE}_missing",
        companions=(Group("/1.1/instrument/cam", {"NX_class": "NXdetector"}),), pixels=pixels,
    )  # fmt: skip


def plan(path: Path) -> FilePlan:
    return replace(plan_of(path, stream("diode")), references={"cam:image": table()})


def edf_file(path: Path, first: int, n_frames: int, dtype: str = "u2") -> FrameRun:
    """Frames whose pixels all have the frame's number, and where they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + n_frames):
        EdfFile(str(path)).WriteImage({}, np.full(SHAPE, number, dtype), Append=1)
    return FrameRun(str(path), 0, n_frames, first)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data.h5"


def begun(target: Path) -> tuple[TargetFile, ScanInFile]:
    file = TargetFile.open(target)
    return file, file.begin(plan(target))


def numbers(target: Path, path: str = PIXELS) -> list[int]:
    with h5py.File(target, "r") as file:
        shown = file[path][()]
    assert (shown == shown[:, :1, :1]).all()
    return [int(number) for number in shown[:, 0, 0]]


def test_pixels_grow_under_the_eyes_of_a_reader_elsewhere(
    target: Path, tmp_path: Path, reader: ReaderProcess
) -> None:
    file, scan = begun(target)
    runs: list[FrameRun] = []
    for number in range(4):
        runs.append(edf_file(tmp_path / "scan0001" / f"cam_{number}.edf", 3 * number, 3))
        scan.show_frames("cam:image", runs, 3 * len(runs), [])
        file.flush()
        seen, linked = reader.read(target, PIXELS, "/1.1/measurement/cam_pixels")
        assert seen[:, 0, 0].tolist() == list(range(3 * len(runs)))
        assert seen.dtype == np.dtype("u2")
        assert linked.shape == (3 * len(runs), *SHAPE)
    file.close()
    with h5py.File(target) as opened:
        assert opened[PIXELS].attrs["interpretation"] == "image"
        assert f"{PIXELS}_parts" not in opened
        assert len(opened[IMAGE]) == 12


@pytest.mark.parametrize("growth", [1, 5, 20])
def test_more_frames_than_one_dataset_can_hold_are_parts_of_a_virtual_one(
    target: Path, tmp_path: Path, growth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_pixels, "FRAMES_PER_PART", 4)
    runs = [edf_file(tmp_path / f"cam_{n}.edf", n, 1) for n in range(18)]
    file, scan = begun(target)
    for stop in [*range(growth, len(runs), growth), len(runs)]:
        scan.show_frames("cam:image", runs[:stop], stop, [])
        file.flush()
        assert numbers(target) == list(range(stop))
    scan.finish(plan(target))
    file.close()
    with h5py.File(target) as opened:
        assert opened[PIXELS].is_virtual
        assert opened[PIXELS].attrs["interpretation"] == "image"
        assert [len(opened[f"{PIXELS}_parts/{index}"]) for index in range(5)] == [4, 4, 4, 4, 2]
        assert opened[f"{PIXELS}_parts"].attrs["NX_class"] == "NXcollection"


def test_a_part_of_full_length_is_one_that_hdf5_takes(target: Path, tmp_path: Path) -> None:
    n_frames = 2 * sink_pixels.FRAMES_PER_PART + 1
    run = edf_file(tmp_path / f"{'long_name' * 20}.edf", 0, 1)
    runs = [FrameRun(run.file, 0, 1, number) for number in range(n_frames)]
    file, scan = begun(target)
    scan.show_frames("cam:image", runs, n_frames, [])
    file.close()
    assert scan.warnings == ()
    assert numbers(target) == [0] * n_frames


def test_pixels_end_before_the_first_frame_that_is_missing_and_go_on_when_it_comes(
    target: Path, tmp_path: Path
) -> None:
    runs = [edf_file(tmp_path / f"cam_{n}.edf", 2 * n, 2) for n in range(3)]
    file, scan = begun(target)
    scan.show_frames("cam:image", runs, 6, [(3, 4)])
    file.flush()
    assert numbers(target) == [0, 1, 2]
    scan.show_frames("cam:image", runs, 6, [])
    file.close()
    assert numbers(target) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("dtype", "content", "reason"),
    [("i4", None, "type int32, published was uint16"), ("u2", b"CBF", "no whole EDF header")],
)
def test_frames_that_cannot_be_shown_as_pixels_are_told_and_stay_in_the_table(
    target: Path, tmp_path: Path, dtype: str, content: bytes | None, reason: str
) -> None:
    runs = [edf_file(tmp_path / "a.edf", 0, 2), edf_file(tmp_path / "b.edf", 2, 2, dtype)]
    if content is not None:
        (tmp_path / "b.edf").write_bytes(content)
    file, scan = begun(target)
    scan.show_frames("cam:image", runs, 4, [])
    file.close()
    assert numbers(target) == [0, 1]
    (warning,) = scan.warnings
    assert "frames from 2 on are not shown as pixels" in warning
    assert "b.edf" in warning
    assert reason in warning
    with h5py.File(target) as opened:
        assert len(opened[IMAGE]) == 4


def test_an_interrupted_scan_shows_its_pixels_again(target: Path, tmp_path: Path) -> None:
    runs = [edf_file(tmp_path / f"cam_{n}.edf", 2 * n, 2) for n in range(2)]
    file, scan = begun(target)
    scan.show_frames("cam:image", runs[:1], 2, [])
    file.close()
    file = TargetFile.open(target)
    resumed = file.resume(plan(target), {})
    resumed.show_frames("cam:image", runs, 4, [])
    resumed.finish(plan(target))
    file.close()
    assert resumed.warnings == ()
    assert numbers(target) == [0, 1, 2, 3]
    assert numbers(target, "/1.1/measurement/cam_pixels") == [0, 1, 2, 3]


def test_a_sealed_file_is_unchanged_when_the_detector_files_are_gone(
    target: Path, tmp_path: Path
) -> None:
    run = edf_file(tmp_path / "a.edf", 0, 2)
    file, scan = begun(target)
    scan.show_frames("cam:image", [run], 2, [])
    scan.finish(plan(target))
    file.close()
    seal(target)
    Path(run.file).unlink()
    assert changes(target) == []


def test_a_frame_counts_once_it_is_there_wholly(target: Path, tmp_path: Path) -> None:
    run = edf_file(tmp_path / "a.edf", 0, 3)
    whole = Path(run.file).read_bytes()
    assert Sources(target).look_at(run, table()).n_frames == 3
    Path(run.file).write_bytes(whole[:-1])
    found = Sources(target).look_at(run, table())
    assert (found.n_frames, found.may_pass) == (2, True)
    assert "middle of a frame" in found.trouble
    Path(run.file).write_bytes(whole[: 2 * len(whole) // 3])
    found = Sources(target).look_at(run, table())
    assert (found.n_frames, found.may_pass, found.trouble) == (2, True, "has 2 frames only")
