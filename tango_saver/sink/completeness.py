"""Whether finished files hold what their reports, and Redis, say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from tango_saver.errors import TargetUnusableError
from tango_saver.model.records import FixedPoints, JsonPoints, Points, RaggedPoints
from tango_saver.sink.stored_report import StoredChannel, StoredReport, stored_report
from tango_saver.sink.streams import text_bytes
from tango_saver.sink.trouble import HDF5_ERRORS, first_line

_BLOCK = 16 << 20
"""Bytes of a dataset that are read at once."""


class FinishedFile:
    """A file open for reading, whoever holds it; made by ``finished_file``."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file

    def entries(self) -> list[str]:
        """Names of the entries that lie in this file, in order."""
        return [
            name
            for name in self._file
            if isinstance(self._file.get(name, getlink=True), h5py.HardLink)
            and isinstance(self._file[name], h5py.Group)
        ]

    def report(self, entry: str) -> StoredReport | None:
        """The report in an entry, None if there is none."""
        return stored_report(self._file[entry])

    def contradictions(self, report: StoredReport) -> Iterator[str]:
        """What of a report is not so, one sentence each; reads every value of every dataset."""
        for channel in report.channels:
            found = channel.report
            name = found.name
            if found.problem:
                yield f"{name}: {found.problem}"
            for gap in found.gaps:
                yield f"{name}: points {gap.first} to {gap.stop - 1} were lost before"
            n_lost = sum(gap.stop - gap.first for gap in found.gaps)
            if found.published is not None and found.published != found.on_disk + n_lost:
                yield f"{name}: {found.published} points were published, {found.on_disk} saved"
            if channel.dataset:
                yield from self._unlike_reported(channel, found.on_disk + n_lost)

    def _unlike_reported(self, channel: StoredChannel, n_rows: int) -> Iterator[str]:
        path = channel.dataset
        if not n_rows and path not in self._file:
            return  # a channel without points leaves no trace
        try:
            dataset = self._file[path]
            if dataset.shape[0] != n_rows:
                yield f"{path} has {dataset.shape[0]} points, {n_rows} were reported"
            if dataset.is_virtual:
                yield from self._absent_sources(dataset)
            else:
                for first, stop in blocks(dataset):
                    dataset[first:stop]
        except (*HDF5_ERRORS, AttributeError) as error:
            yield f"{path} cannot be read: {first_line(error)}"

    def _absent_sources(self, dataset: h5py.Dataset) -> Iterator[str]:
        for name in dict.fromkeys(source.file_name for source in dataset.virtual_sources()):
            if name != "." and not (self.path.parent / name).exists():
                yield f"{dataset.name} shows frames of {name}, which does not exist"

    def unequal_points(self, path: str, first: int, points: Points) -> int:
        """How many of these points are not, or not so, in a dataset.

        Args:
            path: of the dataset.
            first: index of the first point.
            points: as published.
        """
        try:
            saved = self._file[path][first : first + len(points)]
            if isinstance(points, JsonPoints):
                return _unequal_texts(saved, points)
            if isinstance(points, FixedPoints):
                return _unequal_rows(saved, points.values)
            return _unequal_ragged(saved, points)
        except (*HDF5_ERRORS, AttributeError):
            return len(points)


@contextmanager
def finished_file(path: Path) -> Iterator[FinishedFile]:
    """Open a file for reading without its lock.

    Raises:
        TargetUnusableError: it cannot be opened.
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError as error:
        raise TargetUnusableError(f"there is no file {path}") from error
    except OSError as error:
        raise TargetUnusableError(f"{path} cannot be opened: {first_line(error)}") from error
    with file:
        yield FinishedFile(path, file)


def blocks(dataset: h5py.Dataset) -> Iterator[tuple[int, int]]:
    """Rows of a dataset that lie in the file, in parts that are read at once.

    Rows that were never written are left out: there may be any number of them.

    Returns:
        first row, and the one after the last, of each part.
    """
    n_rows = dataset.shape[0]
    row_size = max(1, dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64)))
    step = max(1, _BLOCK // row_size)
    for start, end in _stored(dataset) if dataset.chunks else [(0, n_rows)]:
        for first in range(start, min(end, n_rows), step):
            yield first, min(first + step, end, n_rows)


def _stored(dataset: h5py.Dataset) -> Iterator[tuple[int, int]]:
    """The ranges of rows that chunks were written for."""
    begins: set[int] = set()
    dataset.id.chunk_iter(lambda chunk: begins.add(chunk.chunk_offset[0]))
    first = stop = 0
    for begin in sorted(begins):
        if begin != stop:
            yield first, stop
            first = begin
        stop = begin + dataset.chunks[0]
    yield first, stop


def _unequal_rows(saved: npt.NDArray[Any], points: npt.NDArray[Any]) -> int:
    if saved.dtype != points.dtype or saved.shape[1:] != points.shape[1:]:
        return len(points)
    if saved.tobytes() == points.tobytes():
        return 0
    pairs = zip(saved, points, strict=False)
    equal = sum(bool(one.tobytes() == other.tobytes()) for one, other in pairs)
    return len(points) - equal


def _unequal_ragged(saved: npt.NDArray[Any], points: RaggedPoints) -> int:
    """Rows are padded to the longest point of the dataset."""
    equal = 0
    for row, value in zip(saved, points.values, strict=False):
        window = row[tuple(slice(0, extent) for extent in value.shape)]
        equal += bool(window.dtype == value.dtype and window.tobytes() == value.tobytes())
    return len(points) - equal


def _unequal_texts(saved: Sequence[Any], points: JsonPoints) -> int:
    pairs = zip(saved, points.values, strict=False)
    return len(points) - sum(bytes(text) == text_bytes(value) for text, value in pairs)
