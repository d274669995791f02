"""Master files as the conductor of Lima2 makes them, and the files of its receivers."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

INSIDE = "/entry_0000/instrument/detector/data"
MASTER_DATASET = "/entry_0000/measurement/data"


def frames_of(receiver: int, number: int, n_receivers: int, per_file: int) -> list[int]:
    """Frames in one file of a receiver: they take turns."""
    first = number * per_file
    return [receiver + n_receivers * local for local in range(first, first + per_file)]


def master_file(
    path: Path, n_frames: int, n_receivers: int, per_file: int, shape: tuple[int, ...]
) -> Path:
    """A virtual dataset over the files of the receivers, which may come later."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layout = h5py.VirtualLayout((n_frames, *shape), "<u2")
    for receiver in range(n_receivers):
        for number in range(n_frames // (n_receivers * per_file)):
            name = _name(path, receiver, number)
            frames = np.array(frames_of(receiver, number, n_receivers, per_file))
            layout[frames] = h5py.VirtualSource(name, INSIDE, (per_file, *shape))
    part = path.with_suffix(".part")
    with h5py.File(part, "w") as file:
        file.create_virtual_dataset(MASTER_DATASET, layout)
    return part.rename(path)


def receiver_file(
    master: Path,
    receiver: int,
    number: int,
    n_receivers: int,
    per_file: int,
    shape: tuple[int, ...],
) -> Path:
    """Save frames whose pixels all have the frame's number in the scan."""
    path = master.with_name(_name(master, receiver, number))
    frames = np.array(frames_of(receiver, number, n_receivers, per_file), "<u2")
    pixels = np.broadcast_to(frames.reshape(-1, *(1 for _ in shape)), (per_file, *shape))
    part = path.with_suffix(".part")
    with h5py.File(part, "w") as file:
        file.create_dataset(INSIDE, data=pixels, chunks=(1, *shape))
    return part.rename(path)


def _name(master: Path, receiver: int, number: int) -> str:
    return f"{master.stem.removesuffix('_master')}_{receiver}_{number:05d}.h5"
