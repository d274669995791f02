"""Saves one scan: reads its records, lays it out, writes it, and reports."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import gevent

from tango_saver.engine.attempt import Attempt
from tango_saver.engine.channels import Channels
from tango_saver.engine.disk_forecast import NO_ROOM, no_room
from tango_saver.engine.members import Members
from tango_saver.engine.messages import News, SaveScan
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.pace import Pace
from tango_saver.engine.patient_reader import PatientReader
from tango_saver.engine.planner import Planner
from tango_saver.engine.scan_file import AlreadySavedError
from tango_saver.engine.scan_files import ScanFiles
from tango_saver.engine.shared_links import SharedLinks
from tango_saver.errors import SaverError, ScanNotFoundError, SinkError
from tango_saver.model.records import PointsArrived, Record, ScanClosed, ScanOpened, size_of
from tango_saver.model.report import ScanProgress, ScanReport
from tango_saver.model.scan import EndReason, ScanDescription
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.availability import Place

_LOG = logging.getLogger(__name__)

_LONGEST_TURN_S = 0.05
"""How long one scan may keep the others of its worker from running."""
_LINK_PATIENCE_S = 2.0
"""How long the end of a scan waits for links in files that others hold."""


class ScanWriter:
    """One scan in one file; ``run`` never raises, it reports.

    Args:
        order: which scan, and where it goes.
        settings: of the saver.
        targets: the files of this worker.
        links: makes links in files that it shares with others.
        tell: takes news that must survive this worker.
    """

    def __init__(
        self,
        order: SaveScan,
        settings: SaverSettings,
        targets: OpenTargets,
        links: SharedLinks,
        tell: Callable[[News], None],
    ) -> None:
        self._order = order
        self._settings = settings
        self._links = links
        self._planner = Planner(order, settings)
        self._files = ScanFiles(order, settings, targets)
        warnings = list(order.warnings)
        members = Members(settings, targets)
        self._channels = Channels(order, self._files, members, tell, warnings.append)
        self._attempt = Attempt(order, self._files, self._channels, warnings)
        self._end_asked = False
        self._ended = False
        self._reopened = False
        self._resumed_rows = 0
        self._pace = Pace(settings.flush_period_s)
        self.interruption: SinkError | None = None
        """Why the scan could not be finished in this file, after ``run``; it may go on there
        later, or in another one."""

    @property
    def lasting_warnings(self) -> tuple[str, ...]:
        """What a next attempt to save the scan has to say as well."""
        return self._attempt.lasting_warnings

    @property
    def points_gained(self) -> bool:
        """Something was brought to the disk."""
        return self._files.rows_visible > self._resumed_rows

    @property
    def begun(self) -> bool:
        """The scan's entries are in the file."""
        return self._files.begun

    @property
    def place(self) -> Place | None:
        """Where the file was when the entries were made, or taken up again; None before."""
        return self._files.place

    def end(self) -> None:
        """Finish what there is, soon."""
        self._end_asked = True

    def progress(self) -> ScanProgress:
        """Where it stands."""
        return self._attempt.progress()

    def run(self) -> ScanReport:
        """Save the scan to its end."""
        key = self._order.key
        _LOG.info("scan %s: saving to %s begins", key, self._order.target)
        try:
            self._save()
        except AlreadySavedError as found:
            self._attempt.saved_before = found.channels
            self._attempt.warnings.append("it was saved completely before")
        except SinkError as error:
            _LOG.warning("scan %s: %s", key, error)
            self.interruption = error
            self._attempt.error = str(error)
        except SaverError as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - it costs this scan, not the worker
            _LOG.exception("scan %s: a defect costs it its end", key)
            self._give_up(
                SaverError(
                    f"{type(error).__name__}: {error}",
                    scan=key,
                    advice="This is a defect of tango_saver; the log has the details",
                )
            )
        finally:
            self._release()
        report = self._attempt.report()
        _LOG.info("scan %s: %s, %d points", key, report.state.value, report.points_saved)
        return report

    def _release(self) -> None:
        if self._attempt.reader is not None:
            self._attempt.reader.close()
        self._channels.close()
        try:
            self._files.release()
        except SinkError as error:
            if not self._ended:
                self.interruption = self.interruption or error
            self._attempt.fail(error)

    # ------------------------------------------------------------------ the loop

    def _save(self) -> None:
        self._read_from(self._files.recall())
        while not self._ended and self._attempt.reader is not None:
            records = self._attempt.reader.read()
            n_bytes = self._take_all(records)
            reader = self._attempt.reader  # another one, if the file was not as recalled
            self._attempt.safe.note(reader.read_until, self._files.dirty_since)
            if not self._ended:
                self._files.check()
                if self._channels.go_on():
                    self._show_members()
                self._go_on(reader, self._pace.pause_after(records, n_bytes, time.monotonic()))

    def _read_from(self, positions: Mapping[str, int]) -> None:
        if self._attempt.reader is not None:
            self._attempt.reader.close()
        self._attempt.reader = PatientReader(self._order.key, self._settings, positions)

    def _go_on(self, reader: PatientReader, pause_s: float) -> None:
        """End the scan if BLISS does not, or wait for more to come together."""
        if self._end_asked:
            self._close_early(EndReason.SAVING_STOPPED)
        elif reader.publisher_is_lost:
            timeout_s = self._settings.publisher_timeout_s
            self._attempt.warnings.append(
                f"nothing was published for {timeout_s:g} s: the session is gone, or pauses"
            )
            self._close_early(EndReason.PUBLISHER_LOST)
        elif pause_s:
            gevent.sleep(pause_s)

    def _take_all(self, records: Sequence[Record]) -> int:
        """Deal with records; how many bytes of points they held."""
        n_bytes, yielded = 0, time.monotonic()
        for record in records:
            if time.monotonic() - yielded > _LONGEST_TURN_S:
                gevent.sleep(0)  # other scans have their turn
                yielded = time.monotonic()
            if isinstance(record, PointsArrived):
                n_bytes += size_of(record.points)
            self._take(record)
            if self._reopened:
                self._reopened = False
                return 0
        return n_bytes

    def _take(self, record: Record) -> None:
        match record:
            case ScanOpened(description):
                self._open(description)
            case ScanClosed(description):
                self._open(description)
                self._close(description, "")
            case _:
                self._channels.take(record)

    # ------------------------------------------------------------------ begin and end

    def _open(self, description: ScanDescription) -> None:
        """Make the entries, or take up those of an earlier attempt; once."""
        attempt = self._attempt
        if attempt.plan is not None:
            return
        attempt.description = description
        attempt.warnings += filter(None, [self._planner.choose_layout(description)])
        plan = self._planner.running(description, self._channels.members)
        if not any(known.startswith(NO_ROOM) for known in attempt.warnings):
            attempt.warnings += filter(None, [no_room(description, plan.channels, plan.target)])
        self._channels.expect(description, plan, subscans=self._planner.shows_subscans)
        recalled = self._files.recall()
        lengths = self._files.open(plan)
        attempt.plan = plan
        self._links.want(self._order.key, plan.links_from_elsewhere)
        self._channels.begin(plan, lengths)
        self._resumed_rows = sum(lengths.values())
        if _without_zeros(recalled) != _without_zeros(lengths):
            self._read_from(lengths)
            self._reopened = True

    def _show_members(self) -> None:
        """Bring the entry of a sequence up to what has become of its sub-scans."""
        attempt = self._attempt
        if attempt.description is not None:
            attempt.plan = self._planner.running(attempt.description, self._channels.members)
            self._files.update(attempt.plan)

    def _close_early(self, reason: EndReason) -> None:
        """End a scan that BLISS has not closed."""
        description, reader = self._attempt.description, self._attempt.reader
        if description is None and reader is not None:
            description = reader.describe()
            self._open(description)
        if description is not None:
            self._close(description, reason.value)

    def _close(self, description: ScanDescription, end_reason: str) -> None:
        """Bring the file to its end; the description is the last one."""
        attempt = self._attempt
        description = self._planner.last_description(description, attempt.description)
        attempt.description = description
        attempt.end_reason = end_reason or description.end_reason
        self._channels.finish()
        attempt.warnings += self._links.settle(self._order.key, _LINK_PATIENCE_S)
        self._channels.note_failures()
        plan = self._planner.final(description, end_reason, attempt)
        if plan.exact or plan.further:
            self._channels.came_late(self._files.finish_others(plan))
            plan = self._planner.final(description, end_reason, attempt)
        attempt.plan = plan
        self._files.finish(plan)
        self._ended = True

    def _give_up(self, error: SaverError) -> None:
        """The scan cannot be saved any further; what is in the file gets an end, if it can."""
        _LOG.error("scan %s: %s", self._order.key, error)
        self._attempt.fail(error)
        description = self._attempt.description
        gone = isinstance(error, ScanNotFoundError)
        if gone and description is None:
            self._abandon(error)
        if self._ended or not self._files.opened or description is None:
            return
        try:
            self._close(description, (EndReason.DELETION if gone else EndReason.FAILURE).value)
        except SaverError as second:
            _LOG.error("scan %s: nor can it be ended: %s", self._order.key, second)
        except Exception:  # noqa: BLE001 - the first error is the one to report
            _LOG.exception("scan %s: nor can it be ended", self._order.key)

    def _abandon(self, error: SaverError) -> None:
        """End what an earlier attempt has in the file; Redis has nothing of the scan any more."""
        try:
            rows = self._files.abandon(EndReason.DELETION.value, str(error))
        except SinkError as second:
            _LOG.error("scan %s: nor can it be ended: %s", self._order.key, second)
            return
        self._channels.resume(rows)
        if rows:
            self._attempt.end_reason = EndReason.DELETION.value


def _without_zeros(lengths: Mapping[str, int]) -> dict[str, int]:
    return {channel: length for channel, length in lengths.items() if length}
