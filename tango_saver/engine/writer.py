"""Saves one scan: reads its records, lays it out, writes it, and reports."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import gevent

from tango_saver.engine.disk_forecast import NO_ROOM, no_room
from tango_saver.engine.frames import Frames
from tango_saver.engine.members import Members
from tango_saver.engine.messages import LostPoints, News, SaveScan
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.patient_reader import PatientReader
from tango_saver.engine.safe_moment import SafeMoment
from tango_saver.engine.scan_file import AlreadySavedError
from tango_saver.engine.scan_files import ScanFiles
from tango_saver.engine.shared_links import SharedLinks
from tango_saver.engine.tally import Tally, merged_gaps, problem_sentence, problems_of
from tango_saver.errors import DatasetError, SaverError, ScanNotFoundError, SinkError
from tango_saver.layout import LayoutOptions, Moment, choose_layout, plan_scan, with_earlier_map
from tango_saver.layout.report import report_nodes
from tango_saver.model.plan import FilePlan
from tango_saver.model.records import (
    ChannelEnded,
    ChannelFailed,
    FixedPoints,
    FramesReferenced,
    GapFound,
    Points,
    PointsArrived,
    RaggedPoints,
    Record,
    ScanClosed,
    ScanOpened,
    SubscanAnnounced,
)
from tango_saver.model.report import ChannelReport, Gap, SavingState, ScanProgress, ScanReport
from tango_saver.model.scan import EndReason, ScanDescription
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.availability import Place

_LOG = logging.getLogger(__name__)

_LONGEST_TURN_S = 0.05
"""How long one scan may keep the others of its worker from running."""
_PACE_S = 0.08
"""Pause after points that came in small portions: better a few together than each one alone."""
_FULL_BITE = 1 << 18
"""Bytes of a portion after which there is no pause: a scan is being caught up with."""
_LINK_PATIENCE_S = 2.0
"""How long the end of a scan waits for links in files that others hold."""
_JSON_SIZE = 100
"""Bytes that a JSON value is taken for."""


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
        self._tell = tell
        self._file = ScanFiles(order, settings, targets)
        self._layout = settings.layout
        self._options = LayoutOptions(
            settings.keepshape, settings.multivalue_positioners, settings.checksums
        )
        self._links = links
        self._members = Members(settings, targets)
        self._reader: PatientReader | None = None
        self._safe = SafeMoment()
        self._tally = Tally()
        self._frames = Frames(order.key, self._file)
        self._description: ScanDescription | None = None
        self._plan: FilePlan | None = None
        self._warnings = list(order.warnings)
        self._end_asked = False
        self._ended = False
        self._end_reason = ""
        self._reopened = False
        self._resumed_rows = 0
        self._error = ""
        self._earlier_gaps: dict[str, list[Gap]] = {}
        for lost in order.lost:
            self._earlier_gaps.setdefault(lost.channel, []).append(Gap(lost.first, lost.stop))
        self._saved_before: tuple[ChannelReport, ...] | None = None
        self.interruption: SinkError | None = None
        """Why the scan could not be finished in this file, after ``run``; it may go on there
        later, or in another one."""

    @property
    def lasting_warnings(self) -> tuple[str, ...]:
        """What a next attempt to save the scan has to say as well."""
        return tuple(dict.fromkeys((*self._warnings, *self._file.warnings())))

    @property
    def points_gained(self) -> bool:
        """Something was brought to the disk."""
        return self._file.rows_visible > self._resumed_rows

    @property
    def begun(self) -> bool:
        """The scan's entries are in the file."""
        return self._file.begun

    @property
    def place(self) -> Place | None:
        """Where the file was when the entries were made, or taken up again; None before."""
        return self._file.place

    def end(self) -> None:
        """Finish what there is, soon."""
        self._end_asked = True

    def progress(self) -> ScanProgress:
        """Where it stands."""
        order, plan = self._order, self._plan
        n_points = self._description.n_points if self._description is not None else None
        expected = None
        if plan is not None and n_points is not None:
            expected = n_points * (len(plan.channels) + len(self._frames))
        return ScanProgress(
            key=order.key,
            session=order.session,
            name=order.name,
            number=order.number,
            state=SavingState.SAVING if self._file.opened else SavingState.WAITING,
            target=order.target,
            entries=plan.entries if plan is not None and self._file.opened else (),
            points_saved=self._file.rows_visible,
            points_expected=expected,
            bytes_saved=self._file.bytes_visible,
            lag_s=self._lag(),
            warnings=self._all_warnings(),
            error=self._trouble(),
            safe_until=self._safe.until,
            kept_s=self._reader.kept_s if self._reader is not None else math.inf,
            notice=self._reader.notice if self._reader is not None else "",
            started_at=order.started_at,
        )

    def run(self) -> ScanReport:
        """Save the scan to its end."""
        key = self._order.key
        _LOG.info("scan %s: saving to %s begins", key, self._order.target)
        try:
            self._save()
        except AlreadySavedError as found:
            self._saved_before = found.channels
            self._warnings.append("it was saved completely before")
        except SinkError as error:
            _LOG.warning("scan %s: %s", key, error)
            self.interruption = error
            self._error = str(error)
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
            if self._reader is not None:
                self._reader.close()
            self._members.close()
            try:
                self._file.release()
            except SinkError as error:
                if not self._ended:
                    self.interruption = self.interruption or error
                self._error = self._error or str(error)
        report = self._report()
        _LOG.info("scan %s: %s, %d points", key, report.state.value, report.points_saved)
        return report

    # ------------------------------------------------------------------ the loop

    def _save(self) -> None:
        self._read_from(self._file.recall())
        while not self._ended and self._reader is not None:
            n_bytes = self._take_all(self._reader.read())
            self._safe.note(self._reader.read_until, self._file.dirty_since)
            if not self._ended:
                self._file.check()
                self._frames.go_on()
                self._show_members()
                self._go_on(self._reader, n_bytes)

    def _read_from(self, positions: Mapping[str, int]) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = PatientReader(self._order.key, self._settings, positions)

    def _go_on(self, reader: PatientReader, n_bytes: int) -> None:
        """End the scan if BLISS does not, or wait for more to come together."""
        if self._end_asked:
            self._close_early(EndReason.SAVING_STOPPED)
        elif reader.publisher_is_lost:
            timeout_s = self._settings.publisher_timeout_s
            self._warnings.append(
                f"nothing was published for {timeout_s:g} s: the session is gone, or pauses"
            )
            self._close_early(EndReason.PUBLISHER_LOST)
        elif 0 < n_bytes < _FULL_BITE:
            gevent.sleep(_PACE_S)

    def _take_all(self, records: Sequence[Record]) -> int:
        """Deal with records; how many bytes of points they held."""
        n_bytes, yielded = 0, time.monotonic()
        for record in records:
            if time.monotonic() - yielded > _LONGEST_TURN_S:
                gevent.sleep(0)  # other scans have their turn
                yielded = time.monotonic()
            if isinstance(record, PointsArrived):
                n_bytes += _size(record.points)
            self._take(record)
            if self._reopened:
                self._reopened = False
                return 0
        return n_bytes

    # ------------------------------------------------------------------ records

    def _take(self, record: Record) -> None:
        match record:
            case ScanOpened(description):
                self._open(description)
            case PointsArrived():
                self._take_points(record)
            case GapFound():
                self._take_gap(record)
            case ChannelEnded(channel, n_points):
                self._channel_ends(channel, n_points)
            case ChannelFailed(channel, reason):
                self._channel_fails(channel, reason)
            case FramesReferenced(channel, status):
                self._frames.take(channel, status)
            case SubscanAnnounced(channel) if channel in self._members:
                self._members.announced(record)
            case ScanClosed(description):
                self._open(description)
                self._close(description, "")

    def _take_points(self, record: PointsArrived) -> None:
        channel = record.channel
        if self._concerns(channel):
            self._tally.received(channel, len(record.points))
            try:
                self._file.append(channel, record.first, record.points)
            except DatasetError as error:
                self._channel_fails(channel, error.fact)

    def _take_gap(self, gap: GapFound) -> None:
        if gap.channel in self._members:
            self._members.lost(gap.channel, gap.first, gap.stop)
            return
        if not self._concerns(gap.channel):
            return
        self._tally.gap(gap.channel, gap.first, gap.stop)
        self._tell(LostPoints(self._order.key, gap.channel, gap.first, gap.stop))
        self._warnings.append(
            f"channel {gap.channel}: points {gap.first} to {gap.stop - 1} were dropped by Redis "
            "before they could be read; fill values stand for them"
        )
        _LOG.warning("scan %s: %s", self._order.key, self._warnings[-1])
        try:
            self._file.fill_gap(gap.channel, gap.first, gap.stop)
        except DatasetError as error:
            self._channel_fails(gap.channel, error.fact)

    def _concerns(self, channel: str) -> bool:
        """Whether the channel is in the file and has not failed."""
        return (
            self._plan is not None
            and channel in self._plan.channels
            and channel not in self._tally.problems
        )

    def _channel_ends(self, channel: str, n_points: int) -> None:
        if channel in self._frames:
            self._frames.end(channel)
        elif channel in self._members:
            self._members.ended(channel, n_points)
        elif self._concerns(channel):
            self._tally.ended(channel, n_points)

    def _channel_fails(self, channel: str, reason: str) -> None:
        if channel in self._frames:
            self._frames.fail(channel, reason)
            return
        if channel in self._members:
            self._members.failed(channel, reason)
            return
        _LOG.warning("scan %s: channel %s is left: %s", self._order.key, channel, reason)
        self._tally.failed(channel, reason)

    # ------------------------------------------------------------------ begin and end

    def _open(self, description: ScanDescription) -> None:
        """Make the entries, or take up those of an earlier attempt; once."""
        if self._plan is not None:
            return
        self._description = description
        self._layout, sentence = choose_layout(self._settings.layout, description)
        if sentence:
            self._warnings.append(sentence)
        plan = self._plan_now(description)
        self._tally.expect(name for name in description.channels if name in plan.channels)
        if not any(known.startswith(NO_ROOM) for known in self._warnings):
            self._warnings += filter(None, [no_room(description, plan.channels, plan.target)])
        self._frames.expect(description, plan)
        if self._layout != "h5map":
            self._members.expect(description)
        recalled = self._file.recall()
        lengths = self._file.open(plan)
        self._plan = plan
        self._links.want(self._order.key, plan.links_from_elsewhere)
        for channel, length in lengths.items():
            self._tally.resumed(channel, length, self._lost_of(channel))
        self._resumed_rows = sum(lengths.values())
        if {name: n for name, n in recalled.items() if n} != {
            name: n for name, n in lengths.items() if n
        }:
            self._read_from(lengths)
            self._reopened = True

    def _lost_of(self, channel: str) -> list[Gap]:
        """The gaps that earlier attempts have left, each point once."""
        return merged_gaps(self._earlier_gaps.get(channel, ()))

    def _plan_now(self, description: ScanDescription) -> FilePlan:
        """The plan while the scan runs."""
        moment = Moment(
            "RUNNING",
            _now(),
            allowed_roots=self._settings.allowed_roots,
            members=self._members.members,
        )
        return self._planned(description, moment)

    def _planned(self, description: ScanDescription, moment: Moment) -> FilePlan:
        """The plan for where the scan really goes."""
        elsewhere = bool(self._order.wanted)
        if elsewhere and self._layout == "nexus":
            # Links to other files are relative to the folder of this one.
            description = replace(description, target=self._order.target)
        plan = plan_scan(self._layout, description, moment, self._options)
        return replace(plan, target=self._order.target) if elsewhere else plan

    def _show_members(self) -> None:
        """Bring the entry of a sequence up to what has become of its sub-scans."""
        if self._description is not None and self._members.look():
            self._plan = self._plan_now(self._description)
            self._file.update(self._plan)

    def _close_early(self, reason: EndReason) -> None:
        """End a scan that BLISS has not closed."""
        description = self._description
        if description is None and self._reader is not None:
            description = self._reader.describe()
            self._open(description)
        if description is not None:
            self._close(description, reason.value)

    def _close(self, description: ScanDescription, end_reason: str) -> None:
        """Bring the file to its end; the description is the last one."""
        if self._layout == "h5map":
            description = with_earlier_map(description, self._description or description)
        self._description = description
        self._end_reason = end_reason or description.end_reason
        self._frames.finish()
        self._members.finish()
        self._warnings += self._links.settle(self._order.key, _LINK_PATIENCE_S)
        for channel, reason in self._file.failed_channels().items():
            if channel not in self._frames:
                self._tally.failed(channel, reason)
        plan = self._final_plan(description, end_reason)
        if plan.exact or plan.further:
            for channel, n_points in self._file.finish_others(plan).items():
                self._tally.received(channel, n_points)
            plan = self._final_plan(description, end_reason)
        self._plan = plan
        self._file.finish(plan)
        self._ended = True

    def _final_plan(self, description: ScanDescription, end_reason: str) -> FilePlan:
        channels = self._channel_reports()
        problems = problems_of(channels)
        now = _now()
        moment = Moment(
            "FAILED" if self._error or problems else "SUCCEEDED",
            now,
            end_time=now,
            end_reason=end_reason,
            n_points=self._file.lengths(),
            warnings=(
                *self._warnings,
                *self._frames.warnings(),
                *self._members.warnings(),
                *problems,
                *self._file.lost,
                *self._file.absent,
                *filter(None, [self._error]),
            ),
            allowed_roots=self._settings.allowed_roots,
            members=self._members.members,
        )
        plan = self._planned(description, moment)
        return replace(plan, nodes=(*plan.nodes, *report_nodes(plan, self._order.key, channels)))

    def _give_up(self, error: SaverError) -> None:
        """The scan cannot be saved any further; what is in the file gets an end, if it can."""
        _LOG.error("scan %s: %s", self._order.key, error)
        self._error = self._error or str(error)
        description = self._description
        gone = isinstance(error, ScanNotFoundError)
        if gone and description is None:
            self._abandon(error)
        if self._ended or not self._file.opened or description is None:
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
            rows = self._file.abandon(EndReason.DELETION.value, str(error))
        except SinkError as second:
            _LOG.error("scan %s: nor can it be ended: %s", self._order.key, second)
            return
        for channel, n_rows in rows.items():
            self._tally.resumed(channel, n_rows, self._lost_of(channel))
        if rows:
            self._end_reason = EndReason.DELETION.value

    # ------------------------------------------------------------------ what is told

    def _trouble(self) -> str:
        away = self._reader.trouble if self._reader is not None else ""
        return away or self._file.trouble

    def _lag(self) -> float:
        if self._reader is not None and self._reader.trouble:
            return round(self._reader.silent_s, 1)
        since = self._file.dirty_since
        return round(time.monotonic() - since, 1) if since else 0.0

    def _all_warnings(self) -> tuple[str, ...]:
        found = [*self._warnings, *self._frames.warnings(), *self._members.warnings()]
        found += self._file.warnings()
        if self._description is not None:
            found += self._description.warnings
        if self._plan is not None:
            found += self._plan.warnings
        problems = {**self._tally.problems, **self._frames.problems()}
        found += [f"channel {name}: {why}" for name, why in problems.items()]
        return tuple(dict.fromkeys(found))

    def _channel_reports(self) -> tuple[ChannelReport, ...]:
        if self._saved_before is not None:
            return self._saved_before
        return (
            *self._tally.reports(self._file.lengths()),
            *self._frames.reports(),
            *self._members.reports(),
        )

    def _report(self) -> ScanReport:
        order = self._order
        channels = self._channel_reports()
        error = self._error or problem_sentence(channels) or "; ".join(self._file.lost)
        return ScanReport(
            key=order.key,
            session=order.session,
            name=order.name,
            number=order.number,
            state=SavingState.FAILED if error else SavingState.SAVED,
            target=order.target,
            entries=self._entries(),
            end_reason=self._end_reason,
            channels=channels,
            bytes_saved=self._file.bytes_appended,
            started_at=order.started_at,
            finished_at=time.time(),
            warnings=self._all_warnings(),
            error=error,
        )

    def _entries(self) -> tuple[str, ...]:
        """Those in the file."""
        if self._file.begun or self._saved_before is not None:
            return self._plan.entries if self._plan is not None else self._file.entries
        return ()


def _size(points: Points) -> int:
    if isinstance(points, FixedPoints):
        return points.values.nbytes
    if isinstance(points, RaggedPoints):
        return sum(array.nbytes for array in points.values)
    return len(points) * _JSON_SIZE


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat()
