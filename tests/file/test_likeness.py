"""A file that is like one HDF5 has looked into: whether HDF5 would always say the same of it."""

from __future__ import annotations

import fcntl
import shutil
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tango_saver.model.plan import FrameRun, ReferenceDataset
from tango_saver.sink.likeness import Form, Noted, Series, noted_file
from tango_saver.sink.sources import Sources

DATASET = "/entry_0000/ESRF-ID00/cam/data"
FRAME = (4, 3)
FORM = Form((1, *FRAME), np.dtype("<u2"))


def camera_file(
    path: Path,
    number: int = 0,
    *,
    frame: tuple[int, ...] = FRAME,
    dtype: str = "<u2",
    n_frames: int = 1,
    libver: Any = None,
) -> Path:
    """As Lima writes it: what else is in the file differs from file to file."""
    with h5py.File(path, "w", libver=libver) as file:
        cam = file.create_group("/entry_0000/ESRF-ID00/cam")
        file["entry_0000/title"] = "Lima 2D detector acquisition"
        file["entry_0000/start_time"] = f"2026-11-24T18:00:00.{number:06d}"
        cam.create_group("header")["acq_frame_nb"] = str(number)
        shape = (n_frames, *frame)
        pixels = np.full(shape, number, dtype)
        cam.create_dataset("data", data=pixels, chunks=(1, *frame), track_times=True)
        file["entry_0000/end_time"] = f"2026-11-24T18:00:01.{number:06d}"
    return path


def noted(path: Path) -> Noted:
    found = noted_file(str(path), DATASET.encode())
    assert found is not None
    return found


def is_like(known: Noted, path: Path) -> bool:
    return known.is_like(str(path), path.stat().st_size)


def form_by_hdf5(path: Path) -> Form | None:
    try:
        with h5py.File(path, "r", locking=False) as file:
            return Form(file[DATASET].shape, file[DATASET].dtype)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError):
        return None


def start_of_a_second() -> None:
    """HDF5 notes the second in which a dataset was made."""
    time.sleep(1 - time.time() % 1)


@pytest.mark.parametrize("libver", [None, "latest"])
def test_the_files_of_a_series_are_alike(libver: Any, tmp_path: Path) -> None:
    start_of_a_second()
    first = camera_file(tmp_path / "0.h5", 0, libver=libver)
    others = [camera_file(tmp_path / f"{n}.h5", n, libver=libver) for n in range(1, 9)]
    known = noted(first)
    assert known.form == FORM
    assert all(is_like(known, other) for other in others)
    assert len({path.read_bytes() for path in others}) == len(others)


@pytest.mark.parametrize("libver", [None, "latest"])
def test_whatever_byte_differs_hdf5_says_of_a_file_that_is_like_what_it_said_of_the_other(
    libver: Any, tmp_path: Path
) -> None:
    path = camera_file(tmp_path / "0.h5", libver=libver)
    known, whole = noted(path), path.read_bytes()
    n_alike = 0
    other = tmp_path / "other.h5"
    shutil.copy(path, other)
    with other.open("r+b", buffering=0) as file:
        for place in range(0, len(whole), 7):
            file.seek(place)
            file.write(bytes([whole[place] ^ 0x5A]))
            inside = any(start <= place < start + len(part) for start, part in known.spans)
            assert is_like(known, other) is not inside
            if not inside:
                n_alike += 1
                assert form_by_hdf5(other) == FORM
            file.seek(place)
            file.write(whole[place : place + 1])
    assert n_alike > 50


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "<i2"},
        {"dtype": ">u2"},
        {"dtype": "<f4"},
        {"frame": (3, 4)},
        {"frame": (4, 3, 1)},
        {"n_frames": 2},
    ],
)
def test_a_dataset_of_another_form_is_seen_behind_a_thousand_that_are_right(
    change: dict[str, Any], tmp_path: Path
) -> None:
    series = Series(DATASET)
    good = camera_file(tmp_path / "good.h5")
    bad = camera_file(tmp_path / "bad.h5", **change)
    for _ in range(1000):
        assert series.form_in(str(good), good.stat().st_size) == FORM
    found = series.form_in(str(bad), bad.stat().st_size)
    assert found == form_by_hdf5(bad) != FORM
    assert series.form_in(str(good), good.stat().st_size) == FORM


def test_a_file_that_is_not_whole_is_not_like_one_that_is(tmp_path: Path) -> None:
    good, part = camera_file(tmp_path / "good.h5"), tmp_path / "part.h5"
    reference = ReferenceDataset("/i", "c", np.dtype("<u2"), FRAME, DATASET, "/m")
    sources, whole = Sources(tmp_path / "data.h5"), good.read_bytes()
    assert sources.look_at(FrameRun(str(good), 0, 1, 0), reference).n_frames == 1
    for size in (0, 8, 96, 1000, len(whole) // 2, len(whole) - 1):
        part.write_bytes(whole[:size])
        found = sources.look_at(FrameRun(str(part), 0, 1, 1), reference)
        assert (found.n_frames, found.may_pass) == (0, True)
        part.write_bytes(whole[:size].ljust(len(whole), b"\0"))
        assert not is_like(noted(good), part) or form_by_hdf5(part) == FORM
    part.write_bytes(whole)
    assert sources.look_at(FrameRun(str(part), 0, 1, 1), reference).n_frames == 1


def test_a_dataset_that_depends_on_other_files_is_never_noted(tmp_path: Path) -> None:
    camera_file(tmp_path / "there.h5")
    linked, virtual = tmp_path / "linked.h5", tmp_path / "virtual.h5"
    with h5py.File(linked, "w") as file:
        file[DATASET] = h5py.ExternalLink("there.h5", DATASET)
    layout = h5py.VirtualLayout((1, *FRAME), "<u2", maxshape=(None, *FRAME))
    layout[:] = h5py.VirtualSource("there.h5", DATASET, (1, *FRAME))
    with h5py.File(virtual, "w") as file:
        file.create_virtual_dataset(DATASET, layout)
    for path in (linked, virtual):
        assert noted_file(str(path), DATASET.encode()) is None
        series = Series(DATASET)
        for _ in range(3):
            form = series.form_in(str(path), path.stat().st_size)
            assert (form.shape, form.dtype) == (FORM.shape, FORM.dtype)
            assert form.is_virtual is (path == virtual)
    camera_file(tmp_path / "there.h5", dtype="<i4")
    series = Series(DATASET)
    assert series.form_in(str(linked), linked.stat().st_size).dtype == np.dtype("<i4")


def test_files_that_are_all_different_are_noted_less_and_less_often(tmp_path: Path) -> None:
    series = Series(DATASET)
    n_noted, last = 0, None
    for number in range(100):
        path = camera_file(tmp_path / "0.h5", frame=(2 + number % 7, 3 + number % 5))
        form = series.form_in(str(path), path.stat().st_size)
        assert form == form_by_hdf5(path)
        if series._noted is not last:
            n_noted, last = n_noted + 1, series._noted
    assert 2 <= n_noted <= 10


def test_a_file_that_somebody_has_locked_is_looked_at(tmp_path: Path) -> None:
    series = Series(DATASET)
    paths = [camera_file(tmp_path / f"{n}.h5", n) for n in range(2)]
    for path in paths:
        with path.open("r+b") as locked:
            fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
            assert series.form_in(str(path), path.stat().st_size) == FORM
