"""One scan's part of its target: begun or taken up again, appended, confirmed, finished."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import gevent

from tango_saver.engine.open_targets import OpenTarget, OpenTargets
from tango_saver.errors import EntryExistsError, SinkError, TargetLockedError
from tango_saver.layout.report import abandoned_plan
from tango_saver.model.plan import FilePlan, FrameRun
from tango_saver.model.records import Points
from tango_saver.model.report import ChannelReport
from tango_saver.sink.availability import Place
from tango_saver.sink.file import TargetFile
from tango_saver.sink.journal import Journal
from tango_saver.sink.scan import ScanInFile

_LOG = logging.getLogger(__name__)

_LOCK_RETRY_S = 0.25


class AlreadySavedError(EntryExistsError):
    """The scan was saved completely before; not raised beyond the engine.

    Args:
        path: of the file.
        channels: as they were reported then.
    """

    def __init__(self, path: Path, channels: tuple[ChannelReport, ...]) -> None:
        super().__init__(f"{path} has the whole scan already", advice="Nothing is to be done")
        self.channels = channels


class ScanFile:
    """Keeps the journal in step with the file.

    Args:
        key: of the scan.
        target: checked and resolved path.
        rank: orders the scans of a file by when they began.
        targets: the files of this worker.
        patience_s: how long somebody else may hold the file; one that has a part of this scan
            already is waited for as long as it takes.
        again: the scan is saved also if the file says that it has all of it.
    """

    def __init__(
        self,
        key: str,
        target: str,
        rank: float,
        targets: OpenTargets,
        patience_s: float = 10.0,
        *,
        again: bool = False,
    ) -> None:
        self._again = again
        self._key = key
        self._patience_s = patience_s
        self._rank = rank
        self._path = Path(target)
        self._targets = targets
        self._target: OpenTarget | None = None
        self._scan: ScanInFile | None = None
        self._journal: Journal | None = None
        self._recalled: Mapping[str, int] = {}
        self._warnings: list[str] = []
        self._lengths: Mapping[str, int] = {}
        self._rows = 0
        self._frames: dict[str, int] = {}
        self._bytes = 0
        self.begun = False
        """The entries are in the file."""
        self.place: Place | None = None
        """Where the file was when they were made, or taken up again."""
        self.entries: tuple[str, ...] = ()
        """Their names, once they were looked for."""
        self.rows_visible = 0
        """Rows that readers see, summed over the channels."""
        self.bytes_visible = 0
        """Of point values, before compression."""
        self.dirty_since = 0.0
        """When the oldest invisible point was appended, on the monotonic clock; 0 if none is."""
        self.trouble = ""
        """What the scan waits for, a sentence; empty if for nothing."""

    @property
    def opened(self) -> bool:
        """Points can be appended."""
        return self._scan is not None

    @property
    def bytes_appended(self) -> int:
        """Of point values, before compression."""
        return self._bytes

    def recall(self) -> Mapping[str, int]:
        """Channel -> rows that an earlier attempt to save this scan has on disk."""
        if self._journal is None:
            self._look_for_journal()
        return self._recalled

    def _look_for_journal(self) -> None:
        self._journal, self._recalled = None, {}
        path = Journal.path_for(self._path, self._key)
        if path.exists():
            try:
                self._journal = Journal.load(path)
            except SinkError as error:
                self._warnings.append(f"{error}; the scan is saved from its beginning")
            else:
                self._recalled = dict(self._journal.confirmed)

    def open(self, plan: FilePlan) -> Mapping[str, int]:
        """Make the scan's entries, or take up those of an earlier attempt.

        Returns:
            channel -> rows that are in the file; the next point of each is to be appended.

        Raises:
            AlreadySavedError: the file has all of this scan.
            EntryExistsError: the file has an entry that is not of this scan.
            TargetLockedError: somebody else holds the file.
            TargetUnusableError: the file cannot be written.
        """
        self.entries = plan.entries
        self._target = self._acquire()
        with self._target.use() as file:
            self._look_for_journal()  # again: whoever held the file may have gone on
            present = set(plan.entries) & set(file.entry_names())
            journal = self._journal
            if present and journal is None:
                if not self._again:
                    self._look_for_report(file, plan.entries)
                raise EntryExistsError(
                    f"{self._path} has an entry {min(present)} already",
                    advice="It is left as it is; save the scan to another file",
                )
            if journal is None:
                # Before the entries: whoever finds them without a journal must leave them.
                self._journal = journal = Journal.create(self._path, self._key, plan.entries)
            try:
                if present:
                    self._scan = file.resume(plan, journal.confirmed)
                else:
                    self._scan = file.begin(plan)
            except EntryExistsError:
                journal.remove()
                raise
            self.begun, self.place = True, Place.of(self._path)
            lengths = dict(self._scan.lengths())
            self._rows = self.rows_visible = sum(lengths.values())
            if journal.confirmed and lengths != dict(journal.confirmed):
                _LOG.warning("scan %s: goes on from %s", self._key, lengths)
        self._target.after_flush(self._flushed)
        return lengths

    def _look_for_report(self, file: TargetFile, entries: Sequence[str]) -> None:
        reports = [file.report_of(entry) for entry in entries]
        if all(r is not None and r.scan == self._key and r.complete for r in reports):
            channels = {c.report.name: c.report for r in reports if r for c in r.channels}
            raise AlreadySavedError(self._path, tuple(channels.values()))

    def abandon(self, end_reason: str, sentence: str) -> Mapping[str, int]:
        """End what an earlier attempt has in the file; nothing more of the scan can be read.

        Args:
            end_reason: for the entries.
            sentence: why, for whoever reads them.

        Returns:
            channel -> rows that are in the file; empty if there was no attempt.

        Raises:
            SinkError: the file cannot be written.
        """
        self._look_for_journal()
        if self._journal is None:
            return {}
        self._target = self._acquire()
        with self._target.use() as file:
            self._look_for_journal()
            entries = set(file.entry_names())
            plan = abandoned_plan(
                str(self._path),
                [entry for entry in self._journal.entries if entry in entries],
                end_reason,
                sentence,
                datetime.now(UTC).astimezone().isoformat(),
            )
            if self._journal is not None and plan.entries:
                self.begun, self.entries = True, plan.entries
                file.resume(plan, {}).finish(plan)
                self._journal.remove()
                self._lengths = self._recalled
                self._rows = self.rows_visible = sum(self._recalled.values())
        return self._recalled

    def append(self, channel: str, first: int, points: Points) -> None:
        """Append points; see ``ScanInFile.append``.

        Raises:
            DatasetError: this channel cannot be written.
            SinkError: the file cannot be written.
        """
        target, scan = self._in_use()
        with target.use():
            scan.append(channel, first, points)
        self._grown(len(points))

    def fill_gap(self, channel: str, first: int, stop: int) -> None:
        """Append fill values; see ``ScanInFile.fill_gap``.

        Raises:
            DatasetError: this channel cannot be written.
            SinkError: the file cannot be written.
        """
        target, scan = self._in_use()
        with target.use():
            scan.fill_gap(channel, first, stop)
        self._grown(stop - first)

    def show_frames(
        self,
        channel: str,
        runs: Sequence[FrameRun],
        n_frames: int,
        missing: Sequence[tuple[int, int]],
    ) -> None:
        """Show frames that lie in other files; see ``ScanInFile.show_frames``.

        Raises:
            DatasetError: this channel cannot be shown.
            SinkError: the file cannot be written.
        """
        target, scan = self._in_use()
        with target.use():
            scan.show_frames(channel, runs, n_frames, missing)
        self._grown(n_frames - self._frames.get(channel, 0))
        self._frames[channel] = n_frames

    def update(self, plan: FilePlan) -> None:
        """Bring the nodes up to a newer plan; see ``ScanInFile.update``.

        Raises:
            SinkError: the file cannot be written.
        """
        target, scan = self._in_use()
        with target.use():
            scan.update(plan)
        target.touch()

    def check(self) -> None:
        """Raise what a flush in the background met.

        Raises:
            SinkError: the file cannot be written any more.
        """
        if self._target is not None:
            self._target.check()

    def lengths(self) -> Mapping[str, int]:
        """Channel -> rows appended."""
        return dict(self._scan.lengths()) if self._scan is not None else self._lengths

    def failed_channels(self) -> Mapping[str, str]:
        """Channel -> why nothing more could be written to it."""
        return self._scan.failed_channels if self._scan is not None else {}

    def warnings(self) -> tuple[str, ...]:
        """What could not be made, and what had to be done to begin."""
        return (*self._warnings, *(self._scan.warnings if self._scan is not None else ()))

    def finish(self, plan: FilePlan) -> None:
        """Bring the scan's part of the file to its end; the journal goes.

        Raises:
            SinkError: the file cannot be written; the journal stays.
        """
        target, scan = self._in_use()
        with target.use():
            if self._rank < target.newest_rank:
                # The file opens with the newest scan, not with the one that took longest.
                plan = replace(plan, final_root_attributes={})
            target.newest_rank = max(target.newest_rank, self._rank)
            scan.finish(plan)
            self._flushed()
            target.forget(self._flushed)
            self._lengths = dict(scan.lengths())
            self._warnings += scan.warnings
            for channel, reason in scan.failed_channels.items():
                _LOG.warning("scan %s: channel %s: %s", self._key, channel, reason)
            self._scan = None
        if self._journal is not None:
            self._journal.remove()
            self._journal = None

    def release(self) -> None:
        """Part from the file; the last scan closes it. Idempotent.

        Raises:
            SinkError: the file could not be closed properly.
        """
        target, self._target = self._target, None
        if self._scan is not None:
            self._lengths, self._scan = dict(self._scan.confirmed()), None
        if self._journal is not None:
            self._journal.close()
        if target is not None:
            target.forget(self._flushed)
            self._targets.release(target)

    def _acquire(self) -> OpenTarget:
        """The open file; one that somebody else holds is waited for a while."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                target, rescue = self._targets.acquire(self._path)
            except TargetLockedError as error:
                if self._journal is None and time.monotonic() > deadline:
                    raise
                self.trouble = str(error)
                gevent.sleep(_LOCK_RETRY_S)
            else:
                self.trouble = ""
                if rescue:
                    self._warnings.append(rescue)
                return target

    def _in_use(self) -> tuple[OpenTarget, ScanInFile]:
        if self._target is None or self._scan is None:
            raise SinkError(f"{self._path} is not open for this scan", scan=self._key)
        return self._target, self._scan

    def _grown(self, n_rows: int) -> None:
        self._rows += n_rows
        if self._scan is not None:
            self._bytes = self._scan.bytes_appended
        if not self.dirty_since:
            self.dirty_since = time.monotonic()
        if self._target is not None:
            self._target.touch()

    def _flushed(self) -> None:
        """Everything appended so far is on disk; called while the file is ours."""
        self.rows_visible, self.bytes_visible, self.dirty_since = self._rows, self._bytes, 0.0
        if self._target is not None and not self._target.is_ours:
            return  # the journal is that of the instance that goes on with the scan
        if self._journal is not None and self._scan is not None:
            with suppress(SinkError):
                # A journal that cannot be written costs a crash's recovery, not the scan.
                self._journal.confirm(self._scan.confirmed())
