"""All files of one scan: its own, and those that its plan names besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tango_saver.engine.channel_files import ChannelFiles
from tango_saver.engine.holdings import Holdings
from tango_saver.engine.late_datasets import missing_datasets, read_again
from tango_saver.engine.losses import Losses
from tango_saver.engine.messages import SaveScan
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.other_files import OtherFiles
from tango_saver.engine.scan_file import ScanFile
from tango_saver.errors import SaverError
from tango_saver.model.plan import FilePlan, FrameRun, ReferenceDataset
from tango_saver.model.records import GapFound, Points, PointsArrived
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.absent import absent_files
from tango_saver.sink.availability import Place
from tango_saver.sink.sources import Source, Sources

_LOCK_PATIENCE_S = 3.0
"""How long somebody else may hold the scan's own file before the scan goes beside it."""


class ScanFiles:
    """The files of one scan, used as if they were one.

    Trouble with any file but the scan's own costs that file alone, and is told by ``lost``.
    Files with datasets of channels are open as long as the scan runs; those that only have
    groups, values and links are written when it ends, so that files which many scans add a
    link to are held for a moment only.

    Args:
        order: which scan, and its own file.
        settings: of the saver.
        targets: the files of this worker.
    """

    def __init__(self, order: SaveScan, settings: SaverSettings, targets: OpenTargets) -> None:
        self._order = order
        self._settings = settings
        self._targets = targets
        self._own_path = Path(order.target)
        self._own = ScanFile(
            order.key,
            order.target,
            order.started_at,
            targets,
            _LOCK_PATIENCE_S,
            again=order.again,
        )
        self._holdings = Holdings()
        self._losses = Losses(order.key)
        self._others = OtherFiles(order, settings, targets, self._holdings, self._losses)
        self._channels = ChannelFiles(self._own, self._others, self._holdings, self._losses)
        self._sources = Sources(self._own_path)
        self._absent: dict[str, None] = {}

    @property
    def opened(self) -> bool:
        """Points can be appended."""
        return self._own.opened

    @property
    def begun(self) -> bool:
        """The entries are in the scan's own file."""
        return self._own.begun

    @property
    def place(self) -> Place | None:
        """Where the scan's own file was when the entries were made, or taken up again."""
        return self._own.place

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of the scan's entries in its own file, once they were looked for."""
        return self._own.entries

    @property
    def lost(self) -> tuple[str, ...]:
        """What is not in other files than the scan's own, one sentence for each."""
        return self._losses.sentences

    @property
    def absent(self) -> tuple[str, ...]:
        """What datasets lead to that does not exist, once ``finish_others`` was called."""
        return tuple(self._absent)

    @property
    def rows_visible(self) -> int:
        """Rows that readers see, summed over the channels of every file."""
        return sum(file.rows_visible for file in self._files())

    @property
    def bytes_visible(self) -> int:
        """Of point values in every file, before compression."""
        return sum(file.bytes_visible for file in self._files())

    @property
    def bytes_appended(self) -> int:
        """Of point values, before compression, each counted once."""
        return self._channels.bytes_appended

    @property
    def dirty_since(self) -> float:
        """When the oldest invisible point was appended; 0 if none is."""
        return min((file.dirty_since for file in self._files() if file.dirty_since), default=0.0)

    @property
    def trouble(self) -> str:
        """What the scan waits for, a sentence; empty if for nothing."""
        return next((file.trouble for file in self._files() if file.trouble), "")

    def recall(self) -> Mapping[str, int]:
        """Channel -> rows that an earlier attempt has in the scan's own file."""
        return self._own.recall()

    def open(self, plan: FilePlan) -> Mapping[str, int]:
        """Begin or take up the scan in its own file, and in others with channels.

        Returns:
            channel -> rows that are in every one of its files.

        Raises:
            SinkError: see ``ScanFile.open``.
        """
        self._secure()
        self._others.forget_late()
        self._own.open(plan)
        self._holdings.add(self._own, plan)
        for part in plan.further:
            if part.streams:
                self._others.open(part)
        return self.lengths()

    def abandon(self, end_reason: str, sentence: str) -> Mapping[str, int]:
        """End what an earlier attempt has in the scan's own file; see ``ScanFile.abandon``.

        Raises:
            SinkError: the file cannot be written.
        """
        self._secure()
        return self._own.abandon(end_reason, sentence)

    def append(self, channel: str, first: int, points: Points) -> None:
        """Append points to every dataset of the channel; see ``ChannelFiles.append``."""
        self._channels.append(channel, first, points)

    def fill_gap(self, channel: str, first: int, stop: int) -> None:
        """Append fill values; see ``ChannelFiles.fill_gap``."""
        self._channels.fill_gap(channel, first, stop)

    def look_at(self, run: FrameRun, spec: ReferenceDataset) -> Source:
        """Whether frames are where a detector says; see ``Sources.look_at``."""
        return self._sources.look_at(run, spec)

    def show_frames(
        self,
        channel: str,
        runs: Sequence[FrameRun],
        n_frames: int,
        missing: Sequence[tuple[int, int]],
    ) -> None:
        """Show frames in the scan's own file; see ``ScanInFile.show_frames``.

        Raises:
            DatasetError: the channel cannot be shown.
            SinkError: the scan's own file cannot be written.
        """
        self._own.show_frames(channel, runs, n_frames, missing)

    def update(self, plan: FilePlan) -> None:
        """Bring the nodes in the scan's own file up to a newer plan.

        Raises:
            SinkError: the file cannot be written.
        """
        self._own.update(plan)

    def check(self) -> None:
        """Raise what a flush in the background met.

        Raises:
            SinkError: the scan's own file cannot be written any more.
        """
        self._own.check()
        self._others.check()

    def lengths(self) -> Mapping[str, int]:
        """Channel -> rows that are in every one of its files."""
        return self._channels.lengths()

    def failed_channels(self) -> Mapping[str, str]:
        """Channel -> why nothing more could be written to it."""
        failed = dict(self._own.failed_channels())
        own = self._holdings.channels_of(self._own)
        for target, file in self._others.whole():
            for channel, reason in file.failed_channels().items():
                if channel in own:
                    self._losses.channel(target, channel, reason)
                else:
                    failed.setdefault(channel, reason)
        return failed

    def warnings(self) -> tuple[str, ...]:
        """What could not be made, and what had to be done to begin."""
        found = [sentence for file in self._files() for sentence in file.warnings()]
        return (*found, *self._absent)

    def finish_others(self, plan: FilePlan) -> Mapping[str, int]:
        """Bring every file but the scan's own to its end.

        Datasets that only the newest plan has are filled: their points are read once more.

        Returns:
            channel -> rows, of channels that no earlier plan had.
        """
        self._absent |= dict.fromkeys(absent_files(plan, self._own_path))
        before, known = self.lengths(), self._holdings.channels
        fed = [file for file in self._begin_late(plan) if self._holdings.channels_of(file)]
        if fed:
            self._feed(fed, before)
        self._others.finish_late()
        for part in plan.further:
            file = self._others.get(part.target) or self._others.open(part)
            if file is not None:
                path = self._others.path_of(part.target)
                self._absent |= dict.fromkeys(absent_files(part, path))
                with self._others.may_be_lost(part.target, file):
                    file.finish(part)
        return {name: n for name, n in self.lengths().items() if name not in known}

    def finish(self, plan: FilePlan) -> None:
        """Bring the scan's own file to its end.

        Raises:
            SinkError: the file cannot be written; its journal stays.
        """
        self._own.finish(plan)

    def release(self) -> None:
        """Part from the files. Idempotent.

        Raises:
            SinkError: the scan's own file could not be closed properly.
        """
        self._others.release()
        self._own.release()

    def _secure(self) -> None:
        """No other instance writes the file from now on, whatever it believes."""
        self._targets.secure(self._own_path, self._order.fence, self._order.displaced)

    def _files(self) -> list[ScanFile]:
        return [self._own, *self._others]

    def _begin_late(self, plan: FilePlan) -> Iterator[ScanFile]:
        """Open what the newest plan has more datasets of channels in."""
        for part in (plan, *plan.further):
            file = self._own if part is plan else self._others.get(part.target)
            if file is None:
                opened = self._others.open(part) if part.streams else None
            else:
                late = missing_datasets(part, self._holdings.datasets_of(file))
                path = self._own_path if part is plan else self._others.path_of(part.target)
                opened = self._others.open_late(late, path) if late.streams else None
            if opened is not None:
                yield opened

    def _feed(self, files: list[ScanFile], lengths: Mapping[str, int]) -> None:
        """Fill files that came late."""

        def take(record: PointsArrived | GapFound) -> None:
            match record:
                case PointsArrived(channel, first, points):
                    self.append(channel, first, points)
                case GapFound(channel, first, stop):
                    self.fill_gap(channel, first, stop)
                    self._losses.gap(channel, first, stop)

        channels = {name for file in files for name in self._holdings.channels_of(file)}
        try:
            read_again(self._order.key, self._settings, channels, lengths, take)
        except SaverError as error:
            self._losses.late_datasets(error)
