"""Datasets over the files of a detector: what they show, and what they refuse to show."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from file.reader_process import ReaderProcess
from file.sink_plans import plan_of, stream

from tango_saver.errors import DatasetError
from tango_saver.model.plan import FilePlan, FrameRun, Group, ReferenceDataset, SoftLink
from tango_saver.model.records import FixedPoints
from tango_saver.sink.file import TargetFile
from tango_saver.sink.references import missing_value
from tango_saver.sink.scan import ScanInFile
from tango_saver.sink.sources import Source, Sources

IMAGE = "/1.1/instrument/cam/image"
INSIDE = "/entry/data"


def spec(
    dtype: npt.DTypeLike = "<u2", shape: tuple[int, ...] = (4, 3), source: str = INSIDE
) -> ReferenceDataset:
    return ReferenceDataset(
        path=IMAGE,
        channel="cam:image",
        dtype=np.dtype(dtype) if source else None,
        shape=shape if source else (),
        source=source,
        missing=f"{IMAGE}_missing",
        attributes={"interpretation": "image"},
        companions=(
            Group("/1.1/instrument/cam", {"NX_class": "NXdetector"}),
            SoftLink("/1.1/instrument/cam/data", "image"),
            SoftLink("/1.1/measurement/cam", IMAGE),
        ),
    )


def plan(path: Path, reference: ReferenceDataset) -> FilePlan:
    made = plan_of(path, stream("diode"))
    return FilePlan(
        made.target, made.entries, made.root_attributes, made.nodes, made.streams,
        {reference.channel: reference}, made.last, made.final_root_attributes,
    )  # fmt: skip


def image_file(
    path: Path, first: int, n_frames: int, dtype: npt.DTypeLike = "<u2", dataset: str = INSIDE
) -> FrameRun:
    """Frames whose pixels all have the frame's number, and where they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.arange(first, first + n_frames).reshape(-1, 1, 1)
    with h5py.File(path, "w") as file:
        file[dataset] = np.broadcast_to(numbers, (n_frames, 4, 3)).astype(dtype)
    return FrameRun(str(path), 0, n_frames, first)


def look_at(run: FrameRun, reference: ReferenceDataset, target: Path) -> Source:
    """What is found of a file by somebody who has seen no other one."""
    return Sources(target).look_at(run, reference)


@contextmanager
def scan_in(path: Path, reference: ReferenceDataset) -> Iterator[tuple[TargetFile, ScanInFile]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = TargetFile.open(path)
    try:
        yield file, file.begin(plan(path, reference))
    finally:
        file.close()


def first_pixels(path: Path, dataset: str = IMAGE) -> list[Any]:
    with h5py.File(path, "r", locking=False) as file:
        return list(file[dataset][:].reshape(len(file[dataset]), -1)[:, 0].tolist())


def test_nothing_of_a_detector_is_in_the_file_before_its_first_frame(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    with scan_in(target, spec()) as (file, scan):
        scan.show_frames("cam:image", [], 0, [])
        file.flush()
    with h5py.File(target) as opened:
        assert "instrument" not in opened["1.1"]
        assert "measurement" not in opened["1.1"]


def test_frames_grow_under_the_eyes_of_a_reader(tmp_path: Path, reader: ReaderProcess) -> None:
    target = tmp_path / "data.h5"
    runs: list[FrameRun] = []
    with scan_in(target, spec()) as (file, scan):
        for number in range(6):
            path = tmp_path / "scan0001" / f"cam_{number:04d}.h5"
            runs.append(image_file(path, 10 * number, 10))
            scan.append("diode", number, FixedPoints(np.array([float(number)])))
            scan.show_frames("cam:image", runs, 10 * len(runs), [])
            file.flush()
            seen, linked, diode = reader.read(
                target, IMAGE, "/1.1/measurement/cam", "/1.1/instrument/diode/data"
            )
            assert seen.shape == (10 * len(runs), 4, 3)
            assert seen[:, 0, 0].tolist() == list(range(10 * len(runs)))
            assert linked.shape == seen.shape
            assert diode.tolist() == [float(point) for point in range(number + 1)]
    with h5py.File(target) as opened:
        dataset = opened[IMAGE]
        assert dataset.is_virtual
        assert dataset.attrs["interpretation"] == "image"
        assert {source.file_name for source in dataset.virtual_sources()} == {
            f"scan0001/cam_{number:04d}.h5" for number in range(6)
        }


def test_making_a_dataset_anew_a_thousand_times_does_not_fill_the_file(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    run = image_file(tmp_path / "cam_0000.h5", 0, 10)
    with scan_in(target, spec()) as (file, scan):
        for n_frames in range(10, 1011):
            scan.show_frames("cam:image", [run], n_frames, [])
            file.flush()
    assert target.stat().st_size < 100_000


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("<u2", 65535), ("<u4", 2**32 - 1), ("<i4", -1), ("<f4", np.nan), ("<u1", 255)],
)
def test_a_frame_that_is_missing_reads_as_no_measured_value_and_is_listed(
    dtype: str, value: float, tmp_path: Path
) -> None:
    target = tmp_path / "data.h5"
    first = image_file(tmp_path / "a.h5", 0, 3, dtype)
    third = image_file(tmp_path / "c.h5", 6, 3, dtype)
    with scan_in(target, spec(dtype)) as (_, scan):
        scan.show_frames("cam:image", [first, third], 9, [(3, 6)])
    expected = [0, 1, 2, *[value] * 3, 6, 7, 8]
    np.testing.assert_array_equal(first_pixels(target), expected)
    with h5py.File(target) as file:
        assert file[f"{IMAGE}_missing"][:].tolist() == [[3, 6]]
        assert "description" in file[f"{IMAGE}_missing"].attrs
    np.testing.assert_array_equal(missing_value(np.dtype(dtype)), np.array(value, dtype))


def test_a_list_of_missing_frames_goes_when_they_come(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    first = image_file(tmp_path / "a.h5", 0, 3)
    with scan_in(target, spec()) as (_, scan):
        scan.show_frames("cam:image", [first], 6, [(3, 6)])
        second = image_file(tmp_path / "b.h5", 3, 3)
        scan.show_frames("cam:image", [first, second], 6, [])
    with h5py.File(target) as file:
        assert f"{IMAGE}_missing" not in file
    assert first_pixels(target) == list(range(6))


def test_files_that_come_late_are_shown_where_they_belong(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    runs = [image_file(tmp_path / f"{n}.h5", 3 * n, 3) for n in range(4)]
    with scan_in(target, spec()) as (_, scan):
        scan.show_frames("cam:image", [runs[0], runs[2]], 9, [(3, 6)])
        scan.show_frames("cam:image", [runs[0], runs[1], runs[2]], 9, [])
        scan.show_frames("cam:image", runs, 12, [])
    assert first_pixels(target) == list(range(12))
    with h5py.File(target) as file:
        assert len(file[IMAGE].virtual_sources()) == 4


def test_a_source_that_is_absent_appears_when_it_is_brought(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    first = image_file(tmp_path / "a.h5", 0, 3)
    late = FrameRun(str(tmp_path / "b.h5"), 0, 3, 3)
    with scan_in(target, spec()) as (_, scan):
        scan.show_frames("cam:image", [first, late], 6, [(3, 6)])
    assert first_pixels(target) == [0, 1, 2, 65535, 65535, 65535]
    image_file(tmp_path / "b.h5", 3, 3)
    assert first_pixels(target) == list(range(6))


def test_frames_are_taken_from_the_middle_of_a_file_that_has_more(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    run = image_file(tmp_path / "a.h5", 0, 10)
    with scan_in(target, spec()) as (_, scan):
        scan.show_frames("cam:image", [FrameRun(run.file, 4, 3, 0)], 3, [])
    assert first_pixels(target) == [4, 5, 6]


@pytest.mark.parametrize("name", ["50%b.h5", "100%%.h5", "Größe.h5", "with blank.h5"])
def test_every_name_of_a_file_is_taken_by_its_letters(name: str, tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    dataset = "/entry/50%b/Größe"
    run = image_file(tmp_path / "scan%04d" / name, 0, 3, dataset=dataset)
    reference = spec(source=dataset)
    assert look_at(run, reference, target).n_frames == 3
    with scan_in(target, reference) as (_, scan):
        scan.show_frames("cam:image", [run], 3, [])
    assert first_pixels(target) == [0, 1, 2]


def test_the_folder_of_a_scan_can_be_moved(tmp_path: Path) -> None:
    target = tmp_path / "here" / "dataset" / "data.h5"
    beside = image_file(tmp_path / "here" / "dataset" / "scan0001" / "a.h5", 0, 3)
    above = image_file(tmp_path / "here" / "images" / "b.h5", 3, 3)
    with scan_in(target, spec()) as (_, scan):
        scan.show_frames("cam:image", [beside, above], 6, [])
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(tmp_path / "here", tmp_path / "elsewhere" / "there")
    assert first_pixels(Path(moved) / "dataset" / "data.h5") == list(range(6))


def test_names_are_relative_to_where_the_folders_really_are(tmp_path: Path) -> None:
    real = tmp_path / "disks" / "7" / "visitor"
    real.mkdir(parents=True)
    (tmp_path / "visitor").symlink_to(real)
    image_file(real / "scan0001" / "a.h5", 0, 3)
    published = FrameRun(str(tmp_path / "visitor" / "scan0001" / "a.h5"), 0, 3, 0)
    with scan_in(real / "data.h5", spec()) as (_, scan):
        scan.show_frames("cam:image", [published], 3, [])
    with h5py.File(real / "data.h5") as file:
        assert file[IMAGE].virtual_sources()[0].file_name == "scan0001/a.h5"


def test_other_formats_become_a_table_that_grows(tmp_path: Path, reader: ReaderProcess) -> None:
    target = tmp_path / "data.h5"
    runs: list[FrameRun] = []
    expected: list[str] = []
    with scan_in(target, spec(source="")) as (file, scan):
        for number in range(3):
            name = f"scan0001/cam_{number:04d}.edf"
            runs.append(FrameRun(str(tmp_path / name), 0, 4, 4 * number))
            expected += [f"{name}::{frame}" for frame in range(4)]
            scan.show_frames("cam:image", runs, len(expected), [(0, 4)])
            file.flush()
            (seen,) = reader.read(target, IMAGE)
            assert [text.decode() for text in seen] == expected
    with h5py.File(target) as opened:
        assert opened[IMAGE].asstr()[:].tolist() == expected
        assert opened["1.1/measurement/cam"].attrs["interpretation"] == "image"
        assert opened[f"{IMAGE}_missing"][:].tolist() == [[0, 4]]


def test_an_interrupted_scan_shows_its_frames_again(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    for reference in (spec(), spec(source="")):
        target.unlink(missing_ok=True)
        runs = [image_file(tmp_path / f"{n}.h5", 3 * n, 3) for n in range(2)]
        with scan_in(target, reference) as (_, scan):
            scan.show_frames("cam:image", runs[:1], 3, [])
        file = TargetFile.open(target)
        resumed = file.resume(plan(target, reference), {})
        resumed.show_frames("cam:image", runs, 6, [])
        resumed.finish(plan(target, reference))
        file.close()
        with h5py.File(target) as opened:
            assert len(opened[IMAGE]) == 6
            assert "end_time" in opened["1.1"]
            assert len(opened["1.1/measurement/cam"]) == 6


def test_a_channel_that_cannot_be_shown_costs_itself(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    run = image_file(tmp_path / "a.h5", 0, 3)
    reference = plan(target, spec())
    file = TargetFile.open(target)
    blocked = FilePlan(
        reference.target, reference.entries, {}, (*reference.nodes, Group(IMAGE)),
        reference.streams, reference.references,
    )  # fmt: skip
    scan = file.begin(blocked)
    for _ in range(2):
        with pytest.raises(DatasetError, match="a group of that name"):
            scan.show_frames("cam:image", [run], 3, [])
    scan.append("diode", 0, FixedPoints(np.array([1.0])))
    file.close()
    assert first_pixels(target, "/1.1/instrument/diode/data") == [1.0]


# ---------------------------------------------------------------- looking at sources


def test_a_good_source_has_all_frames(tmp_path: Path) -> None:
    run = image_file(tmp_path / "a.h5", 0, 10)
    found = look_at(run, spec(), tmp_path / "data.h5")
    assert (found.n_frames, found.trouble, found.may_pass) == (10, "", False)
    assert look_at(run, spec(">u2"), tmp_path / "data.h5").n_frames == 10


@pytest.mark.parametrize(
    ("reference", "trouble"),
    [
        (spec(shape=(3, 4)), "frames of shape (4, 3), published was (3, 4)"),
        (spec(shape=(1, 4, 3)), "frames of shape (4, 3), published was (1, 4, 3)"),
        (spec(shape=()), "frames of shape (4, 3), published was ()"),
        (spec("<i2"), "frames of type uint16, published was int16"),
        (spec("<u4"), "frames of type uint16, published was uint32"),
    ],
)
def test_a_source_of_another_form_never_counts(
    reference: ReferenceDataset, trouble: str, tmp_path: Path
) -> None:
    found = look_at(image_file(tmp_path / "a.h5", 0, 10), reference, tmp_path / "data.h5")
    assert (found.n_frames, found.may_pass) == (0, False)
    assert trouble in found.trouble


def test_a_source_may_still_come_or_grow(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    run = image_file(tmp_path / "a.h5", 0, 10)
    absent = look_at(FrameRun(str(tmp_path / "b.h5"), 0, 10, 0), spec(), target)
    assert (absent.n_frames, absent.may_pass, absent.absent) == (0, True, True)
    short = look_at(FrameRun(run.file, 4, 10, 0), spec(), target)
    assert (short.n_frames, short.may_pass, short.trouble) == (6, True, "has 10 frames only")
    other = look_at(run, spec(source="/entry/no/data"), target)
    assert (other.n_frames, other.may_pass) == (0, True)
    whole = Path(run.file).read_bytes()
    Path(run.file).write_bytes(whole[: len(whole) // 2])
    truncated = look_at(run, spec(), target)
    assert (truncated.n_frames, truncated.may_pass, truncated.absent) == (0, True, False)


def test_what_is_no_file_of_images_is_not_even_opened(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    image_file(target, 0, 10)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.h5").symlink_to(target)
    for name in ("pipe", "data.h5", "link.h5", ".", "\ud800"):
        for reference in (spec(), spec(source="")):
            found = look_at(FrameRun(str(tmp_path / name), 0, 10, 0), reference, target)
            assert found.n_frames == 0
            assert found.trouble
            assert not found.absent
