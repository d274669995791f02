"""The files of a detector, looked at before they count."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from h5py import h5d, h5f, h5p

from tango_saver.model.plan import FrameRun, ReferenceDataset
from tango_saver.sink.edf import EdfError, UnfinishedEdfError, edf_frames
from tango_saver.sink.trouble import HDF5_ERRORS, first_line


@dataclass(frozen=True, slots=True)
class Source:
    """What was found of a run of frames."""

    n_frames: int
    """How many of them can be read, counted from the first one."""
    trouble: str = ""
    """Why not all of them, to be read behind the file's name."""
    may_pass: bool = False
    """Whether that may be another matter soon: the file is not (wholly) there yet."""
    absent: bool = False
    """There is no file of that name."""


_CACHE_BYTES = 64 * 1024
"""For the metadata of a source; what HDF5 takes otherwise costs more than all the rest."""


def _for_a_glance() -> h5p.PropFAID:
    properties = h5p.create(h5p.FILE_ACCESS)
    properties.set_file_locking(False, True)  # noqa: FBT003 - h5py takes no keywords here
    cache = properties.get_mdc_config()
    cache.set_initial_size = True
    cache.initial_size = cache.min_size = _CACHE_BYTES
    properties.set_mdc_config(cache)
    return properties


_FOR_A_GLANCE = _for_a_glance()


def look_at(run: FrameRun, spec: ReferenceDataset, target: Path) -> Source:
    """Whether frames are where the detector says; nothing of them is read.

    Args:
        run: frames in one file.
        spec: what they must be; a table asks for no more than that the file is there, with
            pixels beside it that the frames are there wholly.
        target: the file that is being written, which is never a source.
    """
    try:
        found = os.stat(run.file)  # noqa: PTH116 - called for every one of thousands of files
    except FileNotFoundError:
        return Source(0, "does not exist", may_pass=True, absent=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Source(0, f"cannot be looked at: {reason}", may_pass=True)
    if not stat.S_ISREG(found.st_mode) or _is(target, found):
        return Source(0, "is not a file of images")
    if spec.source:
        return _look_inside(run, spec)
    return Source(run.n_frames) if spec.pixels is None else _look_at_frames(run)


def _is(path: Path, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(found, os.stat(path))  # noqa: PTH116 - as above
    except OSError:
        return False


def _look_at_frames(run: FrameRun) -> Source:
    """Whether the frames of an EDF file are there wholly, whatever they are."""
    n_frames = 0
    try:
        for _ in islice(edf_frames(run.file), run.first_frame, run.first_frame + run.n_frames):
            n_frames += 1
    except (UnfinishedEdfError, OSError) as error:
        return Source(n_frames, str(error), may_pass=True)
    except EdfError:
        return Source(run.n_frames)
    if n_frames < run.n_frames:
        return Source(n_frames, f"has {run.first_frame + n_frames} frames only", may_pass=True)
    return Source(n_frames)


def _look_inside(run: FrameRun, spec: ReferenceDataset) -> Source:
    try:
        file = h5f.open(os.fsencode(run.file), h5f.ACC_RDONLY, _FOR_A_GLANCE)
    except HDF5_ERRORS as error:
        return Source(0, f"cannot be opened: {first_line(error)}", may_pass=True)
    try:
        dataset = h5d.open(file, spec.source.encode())
        shape, dtype = dataset.shape, dataset.dtype
    except HDF5_ERRORS:
        return Source(0, f"has no dataset {spec.source}", may_pass=True)
    finally:
        # Closes it: nothing else refers to it. Its close() looks through all open objects first.
        dataset = file = None
    if len(shape) != 1 + len(spec.shape) or shape[1:] != spec.shape:
        return Source(0, f"has frames of shape {shape[1:]}, published was {spec.shape}")
    if spec.dtype is None or dtype.newbyteorder("=") != spec.dtype.newbyteorder("="):
        return Source(0, f"has frames of type {dtype}, published was {spec.dtype}")
    n_frames = max(0, min(run.n_frames, shape[0] - run.first_frame))
    if n_frames < run.n_frames:
        return Source(n_frames, f"has {shape[0]} frames only", may_pass=True)
    return Source(n_frames)
