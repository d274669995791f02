"""Which channels each file of one scan has, and in which datasets."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tango_saver.engine.scan_file import ScanFile
from tango_saver.model.plan import FilePlan


class Holdings:
    """Kept by the plans that the files were opened with."""

    def __init__(self) -> None:
        self._channels: dict[ScanFile, set[str]] = {}
        self._datasets: dict[ScanFile, set[str]] = {}

    def add(self, file: ScanFile, plan: FilePlan) -> None:
        """The file has the datasets of this plan, too."""
        self._channels.setdefault(file, set()).update(plan.streams)
        self._datasets.setdefault(file, set()).update(
            spec.path for specs in plan.streams.values() for spec in specs
        )

    def drop(self, file: ScanFile) -> None:
        """Nothing more is written to the file."""
        self._channels.pop(file, None)

    def drop_channel(self, file: ScanFile, channel: str) -> None:
        """Nothing more of the channel is written to the file."""
        self._channels[file].discard(channel)

    def channels_of(self, file: ScanFile) -> Collection[str]:
        """Names of the channels that the file has."""
        return self._channels.get(file, ())

    def datasets_of(self, file: ScanFile) -> Collection[str]:
        """Paths of the channels' datasets in the file."""
        return self._datasets.get(file, ())

    @property
    def channels(self) -> frozenset[str]:
        """Names of the channels that any file has."""
        return frozenset().union(*self._channels.values())

    @property
    def n_files(self) -> int:
        """How many files have channels, or may."""
        return len(self._channels)

    def files_with(self, channel: str) -> list[ScanFile]:
        """The files that have the channel, in the order in which they were opened."""
        return [file for file, channels in self._channels.items() if channel in channels]

    def lengths(self) -> Mapping[str, int]:
        """Channel -> rows that are in every file that has it."""
        lengths: dict[str, int] = {}
        for file, channels in self._channels.items():
            rows = file.lengths()
            for channel in channels:
                n_rows = rows.get(channel, 0)
                lengths[channel] = min(n_rows, lengths.get(channel, n_rows))
        return lengths
