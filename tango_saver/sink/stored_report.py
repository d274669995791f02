"""The report of a scan as it lies in its entries, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from tango_saver.model.report import ChannelReport, Gap
from tango_saver.sink.trouble import HDF5_ERRORS

_TABLE, _GROUP = "writer/data", "writer/report"
"""Inside of an entry; the group in files of the first days."""
_COUNTS = ("published", "received", "on_disk")


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """One dataset, and what the report says of its channel."""

    dataset: str
    """Absolute path, empty if there is none."""
    report: ChannelReport


@dataclass(frozen=True, slots=True)
class StoredReport:
    """What the saver has reported of a scan when it finished an entry."""

    scan: str
    """Key in Redis."""
    finished: bool
    """The entry has an end: all that is reported was on disk before."""
    channels: tuple[StoredChannel, ...]

    @property
    def complete(self) -> bool:
        """Everything that Redis still had is in the file."""
        return self.finished and not any(channel.report.problem for channel in self.channels)


def stored_report(entry: h5py.Group) -> StoredReport | None:
    """The report in an entry; None if it has none that can be read."""
    try:
        table, finished = entry.get(_TABLE), "end_time" in entry
        if isinstance(table, h5py.Dataset) and table.dtype.names is not None:
            return StoredReport(str(table.attrs["scan"]), finished, _channels(table[()]))
        group = entry[_GROUP]
        return StoredReport(group["scan"].asstr()[()], finished, _channels_of_columns(group))
    except (*HDF5_ERRORS, AttributeError, IndexError):
        return None


def is_whole(report: StoredReport | None, key: str) -> bool:
    """Whether the report says that all of this scan is in its entry."""
    return report is not None and report.scan == key and report.complete


def has_scan(path: Path, key: str) -> bool:
    """Whether a file has an entry with all of a scan; False if it cannot be read."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            members = [file[name] for name in file if file.get(name, getclass=True) is h5py.Group]
            return any(is_whole(stored_report(member), key) for member in members)
    except HDF5_ERRORS:
        return False


def _channels(table: npt.NDArray[np.void]) -> tuple[StoredChannel, ...]:
    channels, datasets, gaps, problems = (
        [_decoded(value) for value in table[name]]
        for name in ("channel", "dataset", "gaps", "problem")
    )
    counts = zip(*(table[name].tolist() for name in _COUNTS), strict=True)
    return tuple(
        _channel(channel, dataset, numbers, [_gap(written) for written in extents.split()], problem)
        for channel, dataset, numbers, extents, problem in zip(
            channels, datasets, counts, gaps, problems, strict=True
        )
    )


def _channels_of_columns(group: h5py.Group) -> tuple[StoredChannel, ...]:
    """A dataset for each column."""
    if "channels" not in group:
        return ()
    channels, datasets = _texts(group, "channels"), _texts(group, "datasets")
    problems = _texts(group, "problems") if "problems" in group else [""] * len(channels)
    gaps: list[list[Gap]] = [[] for _ in channels]
    for row, first, stop in group["gaps"][()].tolist() if "gaps" in group else ():
        gaps[row].append(Gap(first, stop))
    counts = zip(*(group[name][()].tolist() for name in _COUNTS), strict=True)
    rows = zip(channels, datasets, counts, gaps, problems, strict=True)
    return tuple(_channel(*row) for row in rows)


def _channel(
    name: str, dataset: str, counts: Sequence[int], gaps: Sequence[Gap], problem: str
) -> StoredChannel:
    published, received, on_disk = counts
    return StoredChannel(
        dataset,
        ChannelReport(
            name,
            published=published if published >= 0 else None,
            received=received,
            on_disk=on_disk,
            gaps=tuple(gaps),
            problem=problem,
        ),
    )


def _decoded(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _gap(written: str) -> Gap:
    first, _, stop = written.partition(":")
    return Gap(int(first), int(stop))


def _texts(group: h5py.Group, name: str) -> list[str]:
    texts: Any = group[name].asstr(errors="replace")[()]
    return [str(value) for value in texts]
