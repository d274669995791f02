"""What the virtual dataset of a master file leads to: whether the values are there.

HDF5 reads the fill value, for a detector's master file zero, where a source is missing, too
short, or has not been written yet. So each source of the frames in question is opened.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from h5py import h5d, h5f, h5p, h5s

from tango_saver.sink.access import FOR_A_GLANCE
from tango_saver.sink.trouble import HDF5_ERRORS, first_line

_ENDLESS = 2**63


@dataclass(frozen=True, slots=True)
class _Part:
    """One source of a virtual dataset."""

    file: str
    """As the dataset names it."""
    dataset: bytes
    rows: tuple[tuple[int, int], ...]
    """Frames that it gives: ranges, first and stop."""
    n_rows: int
    """How many frames it must have for that."""


def frames_there(path: str, dataset: str, first: int, n_frames: int) -> tuple[int, str]:
    """How many frames of a virtual dataset have values, counted from ``first``.

    Args:
        path: of the file.
        dataset: in it.
        first: frame.
        n_frames: no more than the dataset has.

    Returns:
        the number, and why it is not all, to be read behind the file's name.

    Raises:
        OSError, RuntimeError, ValueError, KeyError: HDF5 cannot open the dataset.
    """
    file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY, FOR_A_GLANCE)
    properties = h5d.open(file, dataset.encode()).get_create_plist()
    if any(_is_open_ended(properties, index) for index in range(properties.get_virtual_count())):
        return n_frames, ""
    parts = list(_parts(properties))
    there = np.zeros(n_frames, bool)
    for part in parts:
        for start, stop in part.rows:
            there[max(0, start - first) : max(0, stop - first)] = True
    troubles: list[tuple[int, str]] = []
    if not there.all():
        troubles.append((int(np.argmin(there)), "shows no file for some of its frames"))
    for part in parts:
        starts = [max(0, start - first) for start, stop in part.rows if stop > first]
        if starts and min(starts) < n_frames:
            trouble = _trouble(Path(path).parent, part)
            if trouble:
                troubles.append((min(starts), f"shows frames of {part.file}, which {trouble}"))
    return min(troubles, default=(n_frames, ""))


def _is_open_ended(properties: h5p.PropDCID, index: int) -> bool:
    """Whether HDF5 itself finds out what is there each time: numbered files, endless ones."""
    place = properties.get_virtual_vspace(index)
    if "%b" in properties.get_virtual_filename(index).replace("%%", ""):
        return True
    if place.get_select_type() != h5s.SEL_HYPERSLABS or not place.is_regular_hyperslab():
        return False
    _, _, counts, blocks = place.get_regular_hyperslab()
    return bool(max(*counts, *blocks) >= _ENDLESS)


def _parts(properties: h5p.PropDCID) -> Iterator[_Part]:
    for index in range(properties.get_virtual_count()):
        name = properties.get_virtual_filename(index)
        place = properties.get_virtual_vspace(index)
        if place.get_select_type() == h5s.SEL_HYPERSLABS:
            blocks = np.asarray(place.get_select_hyper_blocklist())
            rows = {(int(low[0]), int(high[0]) + 1) for low, high in blocks}
        else:
            rows = {(0, place.shape[0])}
        piece = properties.get_virtual_srcspace(index)
        n_rows = sum(stop - start for start, stop in rows)
        if piece.get_select_type() == h5s.SEL_HYPERSLABS:
            n_rows = piece.get_select_bounds()[1][0] + 1
        dataset = properties.get_virtual_dsetname(index)
        yield _Part(name, dataset.encode(), tuple(sorted(rows)), n_rows)


def _trouble(folder: Path, part: _Part) -> str:
    if part.file == ".":
        return ""
    path = folder / part.file.replace("%%", "%")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "is not a file of images"
        file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY, FOR_A_GLANCE)
    except FileNotFoundError:
        return "does not exist"
    except HDF5_ERRORS as error:
        return f"cannot be opened: {first_line(error)}"
    return _trouble_inside(file, part)


def _trouble_inside(file: h5f.FileID, part: _Part) -> str:
    try:
        found = h5d.open(file, part.dataset)
    except HDF5_ERRORS:
        return "has no such dataset"
    n_rows = found.shape[0] if found.shape else 0
    if n_rows < part.n_rows:
        return f"has {n_rows} frames only"
    return "" if _is_written(found, part.n_rows) else "is not wholly written"


def _is_written(dataset: h5d.DatasetID, n_rows: int) -> bool:
    """Whether the first rows have a place in the file: its length says nothing of that."""
    properties = dataset.get_create_plist()
    layout = properties.get_layout()
    if layout == h5d.CHUNKED:
        extents = (n_rows, *dataset.shape[1:])
        needed = math.prod(
            -(-extent // chunk)
            for extent, chunk in zip(extents, properties.get_chunk(), strict=True)
        )
        return bool(dataset.get_num_chunks() >= needed)
    if layout == h5d.CONTIGUOUS and not properties.get_external_count():
        return dataset.get_offset() is not None
    return True
