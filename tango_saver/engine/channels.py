"""What comes of the channels of one scan: points, frames that detectors save, and sub-scans."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from tango_saver.engine.frames import Frames
from tango_saver.engine.members import Members
from tango_saver.engine.messages import LostPoints, SaveScan
from tango_saver.engine.scan_files import ScanFiles
from tango_saver.engine.tally import Tally, merged_gaps
from tango_saver.errors import DatasetError
from tango_saver.layout import Member
from tango_saver.model.plan import FilePlan
from tango_saver.model.records import (
    ChannelEnded,
    ChannelFailed,
    FramesReferenced,
    GapFound,
    PointsArrived,
    Record,
    SubscanAnnounced,
)
from tango_saver.model.report import ChannelReport, Gap
from tango_saver.model.scan import ScanDescription

_LOG = logging.getLogger(__name__)


class Channels:
    """Brings each record to where its channel is kept, and counts.

    A channel that cannot be read or written is left; it never costs the scan.

    Args:
        order: which scan, and what earlier attempts have lost of it.
        files: take points and show frames.
        members: the sub-scans.
        tell: takes news that must survive this worker.
        warn: takes what the next attempt has to say as well.
    """

    def __init__(
        self,
        order: SaveScan,
        files: ScanFiles,
        members: Members,
        tell: Callable[[LostPoints], None],
        warn: Callable[[str], None],
    ) -> None:
        self._key = order.key
        self._files = files
        self._members = members
        self._frames = Frames(order.key, files)
        self._tally = Tally()
        self._tell = tell
        self._warn = warn
        self._in_files: Collection[str] = ()
        """Names of the channels whose points are in the files, once these are open."""
        self._earlier_gaps: dict[str, list[Gap]] = {}
        for lost in order.lost:
            self._earlier_gaps.setdefault(lost.channel, []).append(Gap(lost.first, lost.stop))

    @property
    def members(self) -> tuple[Member, ...]:
        """The sub-scans, in the order in which they were announced."""
        return self._members.members

    @property
    def n_by_reference(self) -> int:
        """How many channels have frames that are shown by reference."""
        return len(self._frames)

    def expect(self, description: ScanDescription, plan: FilePlan, *, subscans: bool) -> None:
        """Have the channels in the report, whether anything comes of them or not.

        Args:
            description: of the scan.
            plan: what of it goes to the files.
            subscans: whether sub-scans are followed, too.
        """
        self._tally.expect(name for name in description.channels if name in plan.channels)
        self._frames.expect(description, plan)
        if subscans:
            self._members.expect(description)

    def begin(self, plan: FilePlan, lengths: Mapping[str, int]) -> None:
        """The files are open and take points.

        Args:
            plan: of the files.
            lengths: channel -> rows that earlier attempts have written.
        """
        self._in_files = plan.channels
        self.resume(lengths)

    def resume(self, lengths: Mapping[str, int]) -> None:
        """Count what earlier attempts have written, with the gaps that they left.

        Args:
            lengths: channel -> rows.
        """
        for channel, length in lengths.items():
            gaps = merged_gaps(self._earlier_gaps.get(channel, ()))
            self._tally.resumed(channel, length, gaps)

    # ------------------------------------------------------------------ records

    def take(self, record: Record) -> None:
        """Deal with a record of a channel; those of the scan itself are nothing here.

        Raises:
            SinkError: the scan's own file cannot be written.
        """
        match record:
            case PointsArrived():
                self._take_points(record)
            case GapFound():
                self._take_gap(record)
            case ChannelEnded(channel, n_points):
                self._end(channel, n_points)
            case ChannelFailed(channel, reason):
                self._fail(channel, reason)
            case FramesReferenced(channel, status):
                self._frames.take(channel, status)
            case SubscanAnnounced(channel) if channel in self._members:
                self._members.announced(record)

    def _take_points(self, record: PointsArrived) -> None:
        channel = record.channel
        if self._is_written(channel):
            self._tally.received(channel, len(record.points))
            try:
                self._files.append(channel, record.first, record.points)
            except DatasetError as error:
                self._fail(channel, error.fact)

    def _take_gap(self, gap: GapFound) -> None:
        if gap.channel in self._members:
            self._members.lost(gap.channel, gap.first, gap.stop)
            return
        if not self._is_written(gap.channel):
            return
        self._tally.gap(gap.channel, gap.first, gap.stop)
        self._tell(LostPoints(self._key, gap.channel, gap.first, gap.stop))
        sentence = (
            f"channel {gap.channel}: points {gap.first} to {gap.stop - 1} were dropped by Redis "
            "before they could be read; fill values stand for them"
        )
        self._warn(sentence)
        _LOG.warning("scan %s: %s", self._key, sentence)
        try:
            self._files.fill_gap(gap.channel, gap.first, gap.stop)
        except DatasetError as error:
            self._fail(gap.channel, error.fact)

    def _is_written(self, channel: str) -> bool:
        """Whether the channel is in the files and has not failed."""
        return channel in self._in_files and channel not in self._tally.problems

    def _end(self, channel: str, n_points: int) -> None:
        if channel in self._frames:
            self._frames.end(channel)
        elif channel in self._members:
            self._members.ended(channel, n_points)
        elif self._is_written(channel):
            self._tally.ended(channel, n_points)

    def _fail(self, channel: str, reason: str) -> None:
        if channel in self._frames:
            self._frames.fail(channel, reason)
        elif channel in self._members:
            self._members.failed(channel, reason)
        else:
            _LOG.warning("scan %s: channel %s is left: %s", self._key, channel, reason)
            self._tally.failed(channel, reason)

    # ------------------------------------------------------------------ going on, and the end

    def go_on(self) -> bool:
        """Show frames and find out about sub-scans; whether anything of the latter is new.

        Raises:
            SinkError: the scan's own file cannot be written.
        """
        self._frames.go_on()
        return self._members.look()

    def finish(self) -> None:
        """Nothing more is published: wait a little for late frames and entries of sub-scans.

        Raises:
            SinkError: the scan's own file cannot be written.
        """
        self._frames.finish()
        self._members.finish()

    def came_late(self, lengths: Mapping[str, int]) -> None:
        """Points of channels were brought to the files by reading them once more.

        Args:
            lengths: channel -> rows.
        """
        for channel, n_points in lengths.items():
            self._tally.received(channel, n_points)

    def note_failures(self) -> None:
        """Take in what could not be written in the background."""
        for channel, reason in self._files.failed_channels().items():
            if channel not in self._frames:
                self._tally.failed(channel, reason)

    def close(self) -> None:
        """Close connections; idempotent."""
        self._members.close()

    # ------------------------------------------------------------------ what is told

    def warnings(self) -> tuple[str, ...]:
        """What of frames and sub-scans cannot be seen or is not known, one sentence each."""
        return (*self._frames.warnings(), *self._members.warnings())

    def problems(self) -> Mapping[str, str]:
        """Channel -> why it is not, or not wholly, in the files."""
        return {**self._tally.problems, **self._frames.problems()}

    def reports(self) -> tuple[ChannelReport, ...]:
        """Each channel, counted in points, frames or sub-scans."""
        return (
            *self._tally.reports(self._files.lengths()),
            *self._frames.reports(),
            *self._members.reports(),
        )
