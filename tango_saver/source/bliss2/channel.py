"""Where the reading of one channel stands, and its entries turned into records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tango_saver.errors import StreamError
from tango_saver.model.records import (
    ChannelEnded,
    FramesReferenced,
    GapFound,
    JsonPoints,
    PointsArrived,
    Record,
    SubscanAnnounced,
)
from tango_saver.model.scan import ChannelKind, ChannelSpec, Json, ScanKey
from tango_saver.source.bliss2.payload import Batch, decode_block, decode_status, split_entries
from tango_saver.source.stream_channel import StreamChannel
from tango_saver.source.wire import RawEntry


class ChannelReader(StreamChannel):
    """The id of an entry is ``<index of its first point>-1``."""

    def __init__(self, spec: ChannelSpec, position: int) -> None:
        super().__init__(spec, position)
        self._begin: int | None = None

    @property
    def cursor(self) -> str:
        """See ``StreamChannel.cursor``."""
        return f"{self.position if self._begin is None else self._begin}-0"

    @property
    def last_before(self) -> str:
        """See ``StreamChannel.last_before``."""
        return str(self.position - 1)

    def begin_inside(self, entries: Sequence[RawEntry]) -> None:
        """See ``StreamChannel.begin_inside``."""
        for entry in entries:
            batch = split_entries([entry], self.position)
            if batch.blocks:
                self._begin = batch.blocks[0].first - batch.blocks[0].skip

    def take(self, entries: Sequence[RawEntry]) -> tuple[list[Record], int]:
        """The records of a reply, and the bytes of its largest payload."""
        batch = split_entries(entries, self.position)
        self._begin = None
        return list(self._records(batch)), batch.largest

    def _records(self, batch: Batch) -> Iterator[Record]:
        if self.has_points:
            yield from self._points(batch)
        elif self.spec.kind is ChannelKind.SUBSCANS:
            yield from self._subscans(batch)
        else:
            yield from self._status(batch)
        if not self.live:
            return
        if batch.problem:
            yield self.fail(batch.problem)
        elif batch.total is not None:
            yield from self._end(batch.total)

    def _points(self, batch: Batch) -> Iterator[Record]:
        name = self.spec.name
        for block in batch.blocks:
            points, problem = decode_block(self.spec, block)
            if len(points):
                if block.first > self.position:
                    yield GapFound(name, self.position, block.first)
                yield PointsArrived(name, block.first, points)
                self.position = block.first + len(points)
            if problem:
                yield self.fail(problem)
                return

    def _status(self, batch: Batch) -> Iterator[Record]:
        if not batch.blocks:
            return
        newest = batch.blocks[-1]
        self.position = newest.first + len(newest)
        try:
            yield FramesReferenced(self.spec.name, decode_status(self.spec, newest))
        except StreamError as error:
            yield self.fail(error.fact)

    def _subscans(self, batch: Batch) -> Iterator[Record]:
        name = self.spec.name
        for block in batch.blocks:
            found, problem = decode_block(self.spec, block)
            values = found.values if isinstance(found, JsonPoints) else ()
            if values and block.first > self.position:
                yield GapFound(name, self.position, block.first)
            for index, value in enumerate(values, block.first):
                subscan = _subscan(name, index, value)
                if subscan is None:
                    problem = f"sub-scan {index} has no usable key and number"
                    break
                yield subscan
                self.position = index + 1
            if problem:
                yield self.fail(problem)
                return

    def _end(self, total: int) -> Iterator[Record]:
        name = self.spec.name
        if total < self.position:
            yield self.fail(f"its end marker says {total} points after {self.position} were read")
            return
        if total > self.position and self.spec.kind is not ChannelKind.IMAGE_REFERENCE:
            yield GapFound(name, self.position, total)
        self.position = total
        self.live = False
        yield ChannelEnded(name, total)


def _subscan(channel: str, index: int, value: Json) -> SubscanAnnounced | None:
    """An entry of a sequence's stream; None if it is none."""
    if not isinstance(value, dict):
        return None
    key, number = value.get("key"), value.get("scan_number")
    if not isinstance(key, str) or not key or not isinstance(number, int):
        return None
    return SubscanAnnounced(channel, index, ScanKey(key), number)
