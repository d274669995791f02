"""Where a detector that saves its images itself has put them.

Frame k of a channel lies in file number ``acquisition * files_per_acquisition + file +
file_offset``, where ``acquisition, frame = divmod(k, frames_per_acquisition)`` and ``file,
index = divmod(frame, frames_per_file)``: the last file of each acquisition may be short.
A file can be read once a frame of the next one is saved, or no more frames will come.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tango_saver.errors import LayoutError
from tango_saver.layout.file_names import (
    BadInfoError,
    FileNames,
    checked_path,
    printf_names,
    template_names,
)
from tango_saver.model.plan import FrameRun
from tango_saver.model.scan import ChannelSpec, Json

MOST_FILES = 200_000
"""Files of one channel; a status that announces more is an error of the publisher."""
_LARGEST_SIZE = 2**31
_MOST_DIMENSIONS = 8
_PLAIN_DTYPE = re.compile(r"[<>=|]?[a-z]{1,8}\d{0,3}")


@dataclass(frozen=True, slots=True)
class FrameCount:
    """What a status says."""

    acquired: int
    saved: int
    """Frames that are in files, counted from the first one without a hole."""


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """The files of one channel."""

    channel: str
    names: FileNames
    dtype: np.dtype[Any] | None
    """Of one value; None unless the files are HDF5."""
    shape: tuple[int, ...]
    """Of one frame."""
    dataset: str
    """In each file; empty unless the files are HDF5."""
    file_format: str
    """In lower case: hdf5, edf, cbf, ..."""
    count: Callable[[Json], FrameCount]
    """Reads a status; raises LayoutError, see ``counts``."""
    first_number: int = 0
    """Of the first file."""
    frames_per_file: int = 0
    """0 for all frames of an acquisition in one file."""
    frames_per_acquisition: int = 0
    """0 for one endless acquisition."""

    @property
    def is_master(self) -> bool:
        """Whether one file shows them all; when it does, only a look into it tells."""
        return self.names.width is None

    def counts(self, status: Json) -> FrameCount:
        """How many frames there are, by the newest status.

        Raises:
            LayoutError: the status is malformed, or announces more files than can be.
        """
        counted = self.count(status)
        if counted.saved and self._file_index(counted.saved - 1) >= MOST_FILES:
            raise LayoutError(
                f"{counted.saved} frames are announced, in more than {MOST_FILES} files",
                channel=self.channel,
                advice="Correct what the detector publishes",
            )
        return counted

    def readable(self, saved: int, *, ended: bool) -> int:
        """How many frames lie in files that are complete, or in a master file may be.

        Args:
            saved: frames that the detector has saved.
            ended: whether no more will come.
        """
        if ended or not saved:
            return saved
        if self.is_master:
            return saved
        acquisition, file, _ = self._place(saved - 1)
        return acquisition * self.frames_per_acquisition + file * self.frames_per_file

    def runs(self, first: int, stop: int) -> Iterator[FrameRun]:
        """Where frames ``first`` to ``stop`` (excluded) are, one run per file, in order."""
        point = first
        while point < stop:
            _, file, index = self._place(point)
            n_frames = stop - point
            if self.frames_per_file:
                n_frames = min(n_frames, self.frames_per_file - index)
            if self.frames_per_acquisition:
                frame = file * self.frames_per_file + index
                n_frames = min(n_frames, self.frames_per_acquisition - frame)
            number = self.first_number + self._file_index(point)
            yield FrameRun(self.names.name(number), index, n_frames, point)
            point += n_frames

    def _place(self, point: int) -> tuple[int, int, int]:
        """Acquisition, file in it, frame in that."""
        acquisition, frame = 0, point
        if self.frames_per_acquisition:
            acquisition, frame = divmod(point, self.frames_per_acquisition)
        file, index = 0, frame
        if self.frames_per_file:
            file, index = divmod(frame, self.frames_per_file)
        return acquisition, file, index

    def _file_index(self, point: int) -> int:
        acquisition, file, _ = self._place(point)
        per_acquisition = 1
        if self.frames_per_file and self.frames_per_acquisition:
            per_acquisition = math.ceil(self.frames_per_acquisition / self.frames_per_file)
        return acquisition * per_acquisition + file


def frame_files(channel: ChannelSpec) -> FrameFiles | None:
    """The files of a channel whose frames a detector saves; None if it saves none.

    Raises:
        LayoutError: the stream's info is malformed; says which part.
    """
    info = channel.info
    plugin, stream_format = info.get("plugin"), info.get("format")
    try:
        if plugin == "mosca":
            return _mosca(channel)
        if info.get("protocol_version") == 2:  # noqa: PLR2004 - Lima2 from BLISS 2.3 on
            return _lima2_master(channel)
        if plugin == "lima2" or stream_format == "lima_v2":
            return _lima2(channel)
        return _lima(channel)
    except BadInfoError as error:
        raise LayoutError(
            f"where its images are is not clear: {error}",
            channel=channel.name,
            advice="Correct what the detector publishes",
        ) from error


def pixel_type(channel: ChannelSpec) -> tuple[np.dtype[Any], tuple[int, int]] | None:
    """Type of a pixel, rows and columns of a frame; None if no usable ones are published."""
    try:
        dtype, shape = _frame(channel.info)
    except BadInfoError:
        return None
    return (dtype, (shape[0], shape[1])) if len(shape) == 2 else None  # noqa: PLR2004


def _lima(channel: ChannelSpec) -> FrameFiles | None:
    found = _part(channel.info, "lima_info")
    if not found.get("file_path"):
        return None
    return _series(
        channel,
        found,
        printf_names(_text(found, "file_path")),
        _counter(channel.name, "last_index", "last_index_saved", 1),
        first_number=_size(found, "file_offset", 0),
    )


def _lima2(channel: ChannelSpec) -> FrameFiles | None:
    found = _part(channel.info, "lima_info")
    if not found.get("directory") or not found.get("path_template"):
        return None
    fields = {
        "filename_prefix": found.get("prefix"),
        "filename_rank": found.get("rank"),
        "filename_suffix": found.get("suffix"),
    }
    names = template_names(_text(found, "directory"), _text(found, "path_template"), fields)
    count = _counter(channel.name, "nb_frames_acquired", "nb_frames_xferred", 0)
    return _series(channel, found, names, count)


def _lima2_master(channel: ChannelSpec) -> FrameFiles | None:
    """The master file shows the frames of all receivers; when it is complete, nobody says.

    Which receiver has which frame is published nowhere else. The conductor of Lima2 (client
    4.3) writes the file when the last frame is there; it may come earlier.
    """
    master = channel.info.get("master_file")
    if not master:
        return None
    if not (isinstance(master, list) and len(master) == 2):  # noqa: PLR2004 - file and dataset
        raise BadInfoError("master_file is not a file and a dataset")
    found = dict(zip(("file", "dataset"), master, strict=True))

    def count(status: Json) -> FrameCount:
        n_frames = _whole(channel.name, status)
        return FrameCount(n_frames, n_frames)

    dtype, shape = _frame(channel.info)
    return FrameFiles(
        channel.name,
        FileNames(checked_path(_text(found, "file")), None),
        dtype,
        shape,
        _text(found, "dataset"),
        "hdf5",
        count,
    )


def _mosca(channel: ChannelSpec) -> FrameFiles | None:
    found = _part(channel.info, "mosca_info")
    if not found.get("saving_enabled") or not found.get("file_format"):
        return None
    folder = checked_path(_text(found, "file_path"))
    prefix = found.get("file_prefix") or ""
    if not isinstance(prefix, str) or "/" in prefix:
        raise BadInfoError("file_prefix is no part of a file name")
    detector = _size(channel.info, "detector", None)
    dtype, shape = _frame(channel.info)
    return FrameFiles(
        channel.name,
        FileNames(checked_path(f"{folder.rstrip('/')}/{prefix}spectra_"), 4, ".h5"),
        dtype,
        shape,
        f"{_text(found, 'data_path').rstrip('/')}/spectra_{detector:02d}",
        "hdf5",
        _counter(channel.name, "last_read_index", "last_saved_index", 1),
        frames_per_file=_size(found, "points_per_file", None),
    )


def _series(
    channel: ChannelSpec,
    found: Mapping[str, Json],
    names: FileNames,
    count: Callable[[Json], FrameCount],
    *,
    first_number: int = 0,
) -> FrameFiles:
    file_format = _text(found, "file_format").lower()
    is_hdf5 = file_format.startswith("hdf5")
    dtype, shape = _frame(channel.info) if is_hdf5 else (None, ())
    return FrameFiles(
        channel.name,
        names,
        dtype,
        shape,
        _text(found, "data_path") if is_hdf5 else "",
        file_format,
        count,
        first_number,
        frames_per_file=_size(found, "frame_per_file", None),
        frames_per_acquisition=_size(found, "frame_per_acquisition", None),
    )


def _frame(info: Mapping[str, Json]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    text, shape = info.get("dtype"), info.get("shape")
    if not isinstance(text, str) or not _PLAIN_DTYPE.fullmatch(text):
        raise BadInfoError("dtype is not that of a number")
    try:
        dtype = np.dtype(text)
    except TypeError as error:
        raise BadInfoError(f"dtype {text!r} is unknown") from error
    if dtype.kind not in "biufc":
        raise BadInfoError(f"dtype {text!r} is not that of a number")
    if (
        not isinstance(shape, list)
        or len(shape) > _MOST_DIMENSIONS
        or not all(type(n) is int and 0 < n < _LARGEST_SIZE for n in shape)
    ):
        raise BadInfoError("shape is not a list of sizes")
    return dtype, tuple(shape)


def _counter(channel: str, acquired: str, saved: str, extra: int) -> Callable[[Json], FrameCount]:
    """Reads a status with two numbers; ``extra`` is 1 if they are indices, not counts."""

    def count(status: Json) -> FrameCount:
        if not isinstance(status, Mapping):
            raise LayoutError("its status is no mapping", channel=channel)
        n_saved = _whole(channel, status.get(saved), extra)
        n_acquired = _whole(channel, status.get(acquired, status.get(saved)), extra)
        return FrameCount(max(n_acquired, n_saved), n_saved)

    return count


def _whole(channel: str, value: Json, extra: int = 0) -> int:
    if type(value) is not int or value + extra < 0:
        raise LayoutError(
            f"its status counts {str(value)[:40]!r} frames",
            channel=channel,
            advice="Correct what the detector publishes",
        )
    return value + extra


def _part(info: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found = info.get(name)
    if not isinstance(found, Mapping):
        raise BadInfoError(f"{name} is missing")
    return found


def _text(found: Mapping[str, Json], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        raise BadInfoError(f"{name} is not a text")
    return value


def _size(found: Mapping[str, Json], name: str, default: int | None) -> int:
    value = found.get(name, default)
    if type(value) is not int or not 0 <= value < _LARGEST_SIZE:
        raise BadInfoError(f"{name} is not a number")
    return value
