"""The report of a scan as it lies in its entries, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from tango_saver.model.report import ChannelReport, Gap
from tango_saver.sink.trouble import HDF5_ERRORS

GROUP = "writer/report"
"""Inside of an entry."""


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
        group = entry[GROUP]
        return StoredReport(
            scan=group["scan"].asstr()[()],
            finished="end_time" in entry,
            channels=tuple(_channels(group)),
        )
    except (*HDF5_ERRORS, AttributeError):
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


def _channels(group: h5py.Group) -> Sequence[StoredChannel]:
    if "channels" not in group:
        return ()
    names, datasets = _texts(group, "channels"), _texts(group, "datasets")
    problems = _texts(group, "problems") if "problems" in group else [""] * len(names)
    gaps: list[list[Gap]] = [[] for _ in names]
    for row, first, stop in group["gaps"][()].tolist() if "gaps" in group else ():
        gaps[row].append(Gap(first, stop))
    published, received, on_disk = (
        group[name][()].tolist() for name in ("published", "received", "on_disk")
    )
    return [
        StoredChannel(
            datasets[row],
            ChannelReport(
                name=name,
                published=published[row] if published[row] >= 0 else None,
                received=received[row],
                on_disk=on_disk[row],
                gaps=tuple(gaps[row]),
                problem=problems[row],
            ),
        )
        for row, name in enumerate(names)
    ]


def _texts(group: h5py.Group, name: str) -> list[str]:
    texts: Any = group[name].asstr(errors="replace")[()]
    return [str(value) for value in texts]
