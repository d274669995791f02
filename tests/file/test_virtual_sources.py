"""Master files of detectors: whether the frames that they show are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t
from masters import INSIDE, MASTER_DATASET, master_file, receiver_file

from tango_saver.model.plan import FrameRun, ReferenceDataset
from tango_saver.sink.sources import Source, Sources

N_FRAMES = 12
SHAPE = (1, 4, 3)


def look_at(master: Path, first: int = 0, n_frames: int = N_FRAMES) -> Source:
    reference = ReferenceDataset("/i", "c", np.dtype("<u2"), SHAPE, MASTER_DATASET, "/m")
    run = FrameRun(str(master), first, n_frames, first)
    return Sources(master.parent / "data.h5").look_at(run, reference)


@pytest.fixture
def master(tmp_path: Path) -> Path:
    """Two receivers take every other frame, three in a file: 0 2 4, 6 8 10; 1 3 5, 7 9 11."""
    return master_file(tmp_path / "cam_master.h5", N_FRAMES, 2, 3, SHAPE)


def save(master: Path, receiver: int, number: int, **options: Any) -> Path:
    return receiver_file(master, receiver, number, 2, 3, SHAPE, **options)


def test_frames_count_up_to_the_first_whose_file_is_not_there(master: Path) -> None:
    found = look_at(master)
    assert (found.n_frames, found.may_pass) == (0, True)
    assert found.trouble == "shows frames of cam_0_00000.h5, which does not exist"
    save(master, 0, 0)
    assert look_at(master).n_frames == 1
    save(master, 1, 0)
    assert look_at(master).n_frames == 6
    save(master, 1, 1)
    assert look_at(master).n_frames == 6
    assert look_at(master, 3, 3) == Source(3)
    save(master, 0, 1)
    assert look_at(master) == Source(N_FRAMES)


def too_short(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file[INSIDE] = np.zeros((2, *SHAPE), "<u2")


def not_written(path: Path) -> None:
    with h5py.File(path, "w") as file:
        made = file.create_dataset(INSIDE, (3, *SHAPE), "<u2", chunks=(1, *SHAPE))
        made[:2] = 1


def not_written_at_all(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset(INSIDE, (3, *SHAPE), "<u2")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def of_other_data(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["other"] = 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (too_short, "has 2 frames only"),
        (not_written, "is not wholly written"),
        (not_written_at_all, "is not wholly written"),
        (truncated, "cannot be opened: "),
        (of_other_data, "has no such dataset"),
        (Path.unlink, "does not exist"),
    ],
)
def test_frames_of_a_file_that_is_not_right_do_not_count(
    spoil: Any, reason: str, master: Path
) -> None:
    paths = [save(master, receiver, number) for receiver in range(2) for number in range(2)]
    assert look_at(master) == Source(N_FRAMES)
    spoil(paths[1])
    found = look_at(master)
    assert (found.n_frames, found.may_pass) == (6, True)
    assert f"shows frames of cam_0_00001.h5, which {reason}" in found.trouble


def test_frames_that_the_master_shows_no_file_for_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "cam_master.h5"
    layout = h5py.VirtualLayout((N_FRAMES, *SHAPE), "<u2")
    layout[:5] = h5py.VirtualSource("a.h5", INSIDE, (5, *SHAPE))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset(MASTER_DATASET, layout)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[INSIDE] = np.zeros((5, *SHAPE), "<u2")
    found = look_at(path)
    assert (found.n_frames, found.trouble) == (5, "shows no file for some of its frames")


def test_a_master_whose_files_hdf5_looks_for_by_number_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "cam_master.h5"
    endless = h5s.UNLIMITED
    place = h5s.create_simple((N_FRAMES, *SHAPE), (endless, *SHAPE))
    place.select_hyperslab((0, 0, 0, 0), (endless, 1, 1, 1), (3, 1, 1, 1), (3, *SHAPE))
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_layout(h5d.VIRTUAL)
    whole = h5s.create_simple((3, *SHAPE))
    properties.set_virtual(place, b"cam_%b.h5", INSIDE.encode(), whole)
    with h5py.File(path, "w") as file:
        parent = file.create_group(MASTER_DATASET.rpartition("/")[0])
        space = h5s.create_simple((N_FRAMES, *SHAPE), (endless, *SHAPE))
        h5d.create(parent.id, b"data", h5t.STD_U16LE, space, properties)
    for number in range(4):
        with h5py.File(tmp_path / f"cam_{number}.h5", "w") as file:
            file[INSIDE] = np.zeros((3, *SHAPE), "<u2")
    assert look_at(path) == Source(N_FRAMES)
