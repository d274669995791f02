"""All files of one scan: its own, and those that its plan names besides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tango_saver.engine.late_datasets import missing_datasets, read_again
from tango_saver.engine.losses import Losses
from tango_saver.engine.messages import SaveScan
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.scan_file import ScanFile
from tango_saver.errors import DatasetError, SaverError, SinkError, TargetPathError
from tango_saver.model.plan import FilePlan, FrameRun, ReferenceDataset
from tango_saver.model.records import GapFound, Points, PointsArrived, behind
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.absent import absent_files
from tango_saver.sink.availability import Place
from tango_saver.sink.journal import Journal
from tango_saver.sink.paths import check_target
from tango_saver.sink.sources import Source, look_at

_LOG = logging.getLogger(__name__)

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
        self._own = ScanFile(
            order.key,
            order.target,
            order.started_at,
            targets,
            _LOCK_PATIENCE_S,
            again=order.again,
        )
        self._others: dict[str, ScanFile] = {}
        self._late: list[tuple[ScanFile, FilePlan]] = []
        self._planned: dict[ScanFile, set[str]] = {}
        self._datasets: dict[ScanFile, set[str]] = {}
        self._paths = {order.target: Path(order.target)}
        self._losses = Losses(order.key)
        self._absent: dict[str, None] = {}
        self._bytes = 0

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
        return self._bytes

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
        self._secure(self._own_path)
        # What an earlier attempt added at its end is made again from the beginning.
        late = Journal.path_for(Path(self._order.target), self._late_key)
        late.unlink(missing_ok=True)
        self._own.open(plan)
        self._plan_for(self._own, plan)
        for part in plan.further:
            if part.streams:
                self._open_other(part)
        return self.lengths()

    def abandon(self, end_reason: str, sentence: str) -> Mapping[str, int]:
        """End what an earlier attempt has in the scan's own file; see ``ScanFile.abandon``.

        Raises:
            SinkError: the file cannot be written.
        """
        self._secure(self._own_path)
        return self._own.abandon(end_reason, sentence)

    def append(self, channel: str, first: int, points: Points) -> None:
        """Append points to every dataset of the channel; see ``ScanFile.append``.

        Raises:
            DatasetError: the channel cannot be written anywhere.
            SinkError: the scan's own file cannot be written.
        """

        def add(file: ScanFile, start: int) -> None:
            before = file.bytes_appended
            rest = behind(points, start - first)
            if len(rest):
                file.append(channel, start, rest)
            if file is holders[0]:
                self._bytes += file.bytes_appended - before

        holders = self._holders(channel)
        self._in_each(holders, channel, first, add)

    def fill_gap(self, channel: str, first: int, stop: int) -> None:
        """Append fill values; see ``ScanFile.fill_gap``.

        Raises:
            DatasetError: the channel cannot be written anywhere.
            SinkError: the scan's own file cannot be written.
        """

        def fill(file: ScanFile, start: int) -> None:
            if start < stop:
                file.fill_gap(channel, start, stop)

        self._in_each(self._holders(channel), channel, first, fill)

    def look_at(self, run: FrameRun, spec: ReferenceDataset) -> Source:
        """Whether frames are where a detector says; see ``sink.sources.look_at``."""
        return look_at(run, spec, self._paths[self._order.target])

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
        for target, file in tuple(self._others.items()):
            with self._costs_the_file(target, file):
                file.check()

    def lengths(self) -> Mapping[str, int]:
        """Channel -> rows that are in every one of its files."""
        if len(self._planned) < 2:  # noqa: PLR2004 - one file, its own
            return self._own.lengths()
        lengths: dict[str, int] = {}
        for file, channels in self._planned.items():
            rows = file.lengths()
            for channel in channels:
                n_rows = rows.get(channel, 0)
                lengths[channel] = min(n_rows, lengths.get(channel, n_rows))
        return lengths

    def failed_channels(self) -> Mapping[str, str]:
        """Channel -> why nothing more could be written to it."""
        failed = dict(self._own.failed_channels())
        for target, file in self._others.items():
            for channel, reason in file.failed_channels().items():
                if channel in self._planned[self._own]:
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
        self._absent |= dict.fromkeys(absent_files(plan, Path(self._order.target)))
        before = self.lengths()
        known = {channel for channels in self._planned.values() for channel in channels}
        fed = [file for file in self._begin_late(plan) if self._planned.get(file)]
        if fed:
            self._feed(fed, before)
        for file, part in self._late:
            with self._costs_the_file(part.target, file):
                file.finish(part)
        for part in plan.further:
            other = self._others.get(part.target) or self._open_other(part)
            if other is not None:
                path = self._paths[part.target]
                self._absent |= dict.fromkeys(absent_files(part, path))
                with self._costs_the_file(part.target, other):
                    other.finish(part)
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
        for file, part in self._late:
            with self._costs_the_file(part.target, file):
                file.release()
        for target, file in tuple(self._others.items()):
            with self._costs_the_file(target, file):
                file.release()
        self._own.release()

    @property
    def _own_path(self) -> Path:
        return self._paths[self._order.target]

    def _secure(self, path: Path) -> None:
        """No other instance writes the file from now on, whatever it believes."""
        self._targets.check(path)
        self._targets.secure(path, self._order.fence, self._order.displaced)

    @property
    def _late_key(self) -> str:
        return f"{self._order.key}-late"

    def _files(self) -> list[ScanFile]:
        return [self._own, *self._others.values(), *(file for file, _ in self._late)]

    def _holders(self, channel: str) -> list[ScanFile]:
        return [file for file, channels in self._planned.items() if channel in channels]

    def _plan_for(self, file: ScanFile, plan: FilePlan) -> None:
        self._planned.setdefault(file, set()).update(plan.streams)
        self._datasets.setdefault(file, set()).update(
            spec.path for specs in plan.streams.values() for spec in specs
        )

    def _in_each(
        self,
        holders: list[ScanFile],
        channel: str,
        first: int,
        write: Callable[[ScanFile, int], None],
    ) -> None:
        """Write to the files of a channel, each from where it stands."""
        if holders == [self._own]:
            write(self._own, first)
            return
        for file in holders:
            start = max(first, file.lengths().get(channel, 0))
            target = self._target_of(file)
            try:
                write(file, start)
            except DatasetError as error:
                if len(holders) == 1:
                    raise
                self._losses.channel(target, channel, error.fact)
                self._planned[file].discard(channel)
            except SinkError as error:
                if file is self._own:
                    raise
                self._lose(target, file, error)

    def _target_of(self, file: ScanFile) -> str:
        targets = {other: target for target, other in self._others.items()}
        targets.update({late: part.target for late, part in self._late})
        return targets.get(file, self._order.target)

    def _open_other(self, part: FilePlan) -> ScanFile | None:
        """Begin or take up the scan in another file; None if that file is lost."""
        if self._losses.has_file(part.target):
            return None
        file: ScanFile | None = None
        try:
            path = check_target(part.target, self._settings.allowed_roots)
            if path in self._paths.values():
                raise TargetPathError(
                    f"{part.target!r} is another name of a file that the scan goes to already",
                    advice="Correct the map that the session publishes",
                )
            self._secure(path)
            file = ScanFile(self._order.key, str(path), self._order.started_at, self._targets)
            file.recall()
            file.open(part)
        except SinkError as error:
            self._lose(part.target, file, error)
            return None
        self._paths[part.target] = path
        self._others[part.target] = file
        self._plan_for(file, part)
        return file

    def _begin_late(self, plan: FilePlan) -> Iterator[ScanFile]:
        """Open what the newest plan has more datasets of channels in."""
        for part in (plan, *plan.further):
            file = self._own if part is plan else self._others.get(part.target)
            if file is None:
                opened = self._open_other(part) if part.streams else None
                if opened is not None:
                    yield opened
                continue
            late = missing_datasets(part, self._datasets[file])
            if late.streams:
                path = self._paths[self._order.target if part is plan else part.target]
                added = ScanFile(self._late_key, str(path), 0.0, self._targets)
                self._late.append((added, late))
                with self._costs_the_file(part.target, added):
                    added.open(late)
                    self._plan_for(added, late)
                    yield added

    def _feed(self, files: list[ScanFile], lengths: Mapping[str, int]) -> None:
        """Fill files that came late."""

        def take(record: PointsArrived | GapFound) -> None:
            match record:
                case PointsArrived(channel, first, points):
                    self.append(channel, first, points)
                case GapFound(channel, first, stop):
                    self.fill_gap(channel, first, stop)
                    self._losses.gap(channel, first, stop)

        channels = {channel for file in files for channel in self._planned[file]}
        try:
            read_again(self._order.key, self._settings, channels, lengths, take)
        except SaverError as error:
            self._losses.late_datasets(error)

    @contextmanager
    def _costs_the_file(self, target: str, file: ScanFile) -> Iterator[None]:
        try:
            yield
        except SinkError as error:
            self._lose(target, file, error)

    def _lose(self, target: str, file: ScanFile | None, error: SinkError) -> None:
        self._losses.file(target, error)
        if file is None:
            return
        if self._others.get(target) is file:
            del self._others[target]
        self._planned.pop(file, None)
        try:
            file.release()
        except SinkError as second:
            _LOG.error("scan %s: nor can it be closed: %s", self._order.key, second)
