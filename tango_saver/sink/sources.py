"""The files of a detector, looked at before they count."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tango_saver.model.plan import FrameRun, ReferenceDataset
from tango_saver.sink.edf import EdfError, UnfinishedEdfError, edf_frames
from tango_saver.sink.likeness import DatasetAbsentError, FileUnreadableError, Form, Series
from tango_saver.sink.trouble import HDF5_ERRORS, first_line
from tango_saver.sink.virtual_sources import frames_there


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


class Sources:
    """The files of the detectors of one scan.

    Args:
        target: the file that is being written, which is never a source.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._series: dict[str, Series] = {}

    def look_at(self, run: FrameRun, spec: ReferenceDataset) -> Source:
        """Whether frames are where the detector says; nothing of them is read.

        Args:
            run: frames in one file.
            spec: what they must be; a table asks for no more than that the file is there, with
                pixels beside it that the frames are there wholly.
        """
        try:
            found = os.stat(run.file)  # noqa: PTH116 - called for every one of thousands of files
        except FileNotFoundError:
            return Source(0, "does not exist", may_pass=True, absent=True)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            return Source(0, f"cannot be looked at: {reason}", may_pass=True)
        if not stat.S_ISREG(found.st_mode) or _is(self._target, found):
            return Source(0, "is not a file of images")
        if spec.source:
            return self._look_inside(run, spec, found.st_size)
        return Source(run.n_frames) if spec.pixels is None else _look_at_frames(run)

    def _look_inside(self, run: FrameRun, spec: ReferenceDataset, size: int) -> Source:
        series = self._series.get(spec.source)
        if series is None:
            series = self._series[spec.source] = Series(spec.source)
        try:
            form = series.form_in(run.file, size)
        except FileUnreadableError as error:
            return Source(0, f"cannot be opened: {error}", may_pass=True)
        except DatasetAbsentError:
            return Source(0, f"has no dataset {spec.source}", may_pass=True)
        judged = _judged(run, spec, form)
        return _followed(run, spec, judged) if form.is_virtual else judged


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


def _followed(run: FrameRun, spec: ReferenceDataset, judged: Source) -> Source:
    """What a virtual dataset really has of the frames that it shows."""
    if not judged.n_frames:
        return judged
    try:
        n_frames, trouble = frames_there(run.file, spec.source, run.first_frame, judged.n_frames)
    except HDF5_ERRORS as error:
        return Source(0, f"cannot be opened: {first_line(error)}", may_pass=True)
    return judged if not trouble else Source(n_frames, trouble, may_pass=True)


def _judged(run: FrameRun, spec: ReferenceDataset, form: Form) -> Source:
    shape, dtype = form.shape, form.dtype
    if len(shape) != 1 + len(spec.shape) or shape[1:] != spec.shape:
        return Source(0, f"has frames of shape {shape[1:]}, published was {spec.shape}")
    if spec.dtype is None or dtype.newbyteorder("=") != spec.dtype.newbyteorder("="):
        return Source(0, f"has frames of type {dtype}, published was {spec.dtype}")
    n_frames = max(0, min(run.n_frames, shape[0] - run.first_frame))
    if n_frames < run.n_frames:
        return Source(n_frames, f"has {shape[0]} frames only", may_pass=True)
    return Source(n_frames)
