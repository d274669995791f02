"""Where the reading of one channel stands, and its entries turned into records.

The id of an entry is the index of its first point plus one; an entry of one point holds the
point itself, one of several an array of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tango_saver.model.records import (
    ChannelEnded,
    FixedPoints,
    FramesReferenced,
    GapFound,
    JsonPoints,
    Points,
    PointsArrived,
    RaggedPoints,
    Record,
    SubscanAnnounced,
)
from tango_saver.model.scan import ChannelKind, ChannelSpec, ScanKey
from tango_saver.source.bliss1.classes import DecodingError, Inert, Value
from tango_saver.source.bliss1.names import scan_number
from tango_saver.source.bliss1.pickled import decode
from tango_saver.source.bliss1.tree import event_fields
from tango_saver.source.limits import MOST_POINTS
from tango_saver.source.stream_channel import StreamChannel
from tango_saver.source.wire import RawEntry

Array = np.ndarray[Any, Any]

_LONGEST_COUNT = 20
"""Digits of a number of points."""


class BadEntryError(Exception):
    """Why the points of an entry cannot be used."""


@dataclass(slots=True)
class _Run:
    """Points that follow each other."""

    first: int
    arrays: list[Array] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)


class ChannelReader(StreamChannel):
    """The id of an entry is ``<index of its first point plus one>-0``."""

    def __init__(self, spec: ChannelSpec, position: int) -> None:
        super().__init__(spec, position)
        self._cursor = f"{self.position}-0"
        self._ready = -1
        self._saved = -1

    @property
    def cursor(self) -> str:
        """See ``StreamChannel.cursor``."""
        return self._cursor

    @property
    def last_before(self) -> str:
        """See ``StreamChannel.last_before``."""
        return f"{self.position}-0"

    def begin_inside(self, entries: Sequence[RawEntry]) -> None:
        """See ``StreamChannel.begin_inside``."""
        for entry_id, _ in entries:
            try:
                self._cursor = f"{_first_point(entry_id)}-0"
            except BadEntryError:
                return  # it is met again, and reported, when it is read

    def take(self, entries: Sequence[RawEntry]) -> tuple[list[Record], int]:
        """The records of a reply, and the bytes of its largest payload."""
        if entries:
            self._cursor = entries[-1][0].decode()
        largest = max((sum(map(len, fields[1::2])) for _, fields in entries if fields), default=0)
        if self.has_points:
            return list(self._points(entries)), largest
        if self.spec.kind is ChannelKind.SUBSCANS:
            return list(self._subscans(entries)), largest
        return list(self._status(entries)), largest

    def end(self) -> list[Record]:
        """The scan is over and everything was read."""
        self.live = False
        records: list[Record] = []
        if self.spec.kind is ChannelKind.IMAGE_REFERENCE and self._ready > self._saved:
            # BLISS does not wait for the last status: what was acquired will be in files.
            self._saved = self._ready
            records.append(self._frames())
        total = self._ready + 1 if self.spec.kind is ChannelKind.IMAGE_REFERENCE else self.position
        return [*records, ChannelEnded(self.spec.name, total)]

    # -- points

    def _points(self, entries: Sequence[RawEntry]) -> Iterator[Record]:
        runs: list[_Run] = []
        position, problem = self.position, ""
        for entry_id, fields in entries:
            try:
                event = event_fields(fields)
                if event.get(b"__EVENT__") != b"CHANNELDATA":
                    continue
                first = _first_point(entry_id)
                count = _count(event)
                if first + count <= position:
                    continue
                skip = max(position - first, 0)
                if skip and runs:
                    raise BadEntryError("it overlaps the one before")  # noqa: TRY301
                if not runs or first > position:
                    runs.append(_Run(max(first, position)))
                self._decode(runs[-1], decode(event.get(b"__DATA__", b"")), count, skip)
                position = first + count
            except (BadEntryError, DecodingError) as error:
                fact = error.fact if isinstance(error, DecodingError) else str(error)
                problem = f"the entry {entry_id.decode(errors='replace')} cannot be used: {fact}"
                break
        for run in runs:
            yield from self._record(run)
        if problem:
            yield self.fail(problem)

    def _record(self, run: _Run) -> Iterator[Record]:
        points = self._together(run)
        if not len(points):
            return
        if run.first > self.position:
            yield GapFound(self.spec.name, self.position, run.first)
        yield PointsArrived(self.spec.name, run.first, points)
        self.position = run.first + len(points)

    def _together(self, run: _Run) -> Points:
        if self.spec.kind is ChannelKind.JSON:
            return JsonPoints(tuple(run.values))
        shape = self.spec.shape or ()
        if None in shape:
            return RaggedPoints(tuple(row for array in run.arrays for row in array))
        if not run.arrays:
            return JsonPoints(())
        return FixedPoints(run.arrays[0] if len(run.arrays) == 1 else np.concatenate(run.arrays))

    def _decode(self, run: _Run, value: Value, count: int, skip: int) -> None:
        """Put the points of one entry into a run.

        Raises:
            BadEntryError: they are not what the channel has announced.
        """
        if self.spec.kind is ChannelKind.JSON:
            texts = [value] if count == 1 and isinstance(value, str) else _texts(value)
            if len(texts) != count:
                raise BadEntryError(f"it holds {len(texts)} texts, not {count}")
            run.values += texts[skip:]
        else:
            run.arrays.append(self._array(value, count)[skip:])

    def _array(self, value: Value, count: int) -> Array:
        array = _as_array(value)
        if count == 1:
            array = array[np.newaxis]
        shape = self.spec.shape or ()
        if array.ndim != len(shape) + 1 or array.shape[0] != count:
            raise BadEntryError(f"its {count} points have the shape {array.shape[1:]}")
        if any(
            size is not None and size != given
            for size, given in zip(shape, array.shape[1:], strict=True)
        ):
            raise BadEntryError(f"its points have the shape {array.shape[1:]}, not {shape}")
        return _as_dtype(array, np.dtype(self.spec.dtype))

    # -- others

    def _status(self, entries: Sequence[RawEntry]) -> Iterator[Record]:
        for entry_id, fields in entries:
            event = event_fields(fields)
            self.position = max(self.position, _first_or(entry_id, self.position) + 1)
            if event.get(b"__EVENT__") != b"LIMAIMAGESTATUS":
                continue
            try:
                status = decode(event.get(b"__STATUS__", b""))
            except DecodingError as error:
                yield self.fail(f"a status cannot be decoded: {error.fact}")
                return
            # Every preparation of the camera sets the numbers back to -1.
            self._ready = max(self._ready, _index(status, "last_image_ready"))
            self._saved = max(self._saved, _index(status, "last_image_saved"))
        if entries:
            yield self._frames()

    def _frames(self) -> FramesReferenced:
        status = {"last_index": max(self._ready, self._saved), "last_index_saved": self._saved}
        return FramesReferenced(self.spec.name, status)

    def _subscans(self, entries: Sequence[RawEntry]) -> Iterator[Record]:
        name = self.spec.name
        problem = ""
        for entry_id, fields in entries:
            try:
                event = event_fields(fields)
                if event.get(b"__EVENT__") != b"CHANNELDATA":
                    continue
                first, count = _first_point(entry_id), _count(event)
                value = decode(event.get(b"__DATA__", b""))
                keys = [value] if count == 1 and isinstance(value, str) else _texts(value)
            except (BadEntryError, DecodingError) as error:
                problem = f"a sub-scan cannot be read: {error}"
                break
            if first > self.position:
                yield GapFound(name, self.position, first)
            for index, key in enumerate(keys[:count], first):
                if index >= self.position:
                    yield SubscanAnnounced(name, index, ScanKey(key), scan_number(key))
                    self.position = index + 1
        if problem:
            yield self.fail(problem)


def _first_point(entry_id: bytes) -> int:
    digits = entry_id.partition(b"-")[0]
    if not digits.isdigit() or not 0 < int(digits[:_LONGEST_COUNT]) <= MOST_POINTS:
        raise BadEntryError("its id is no index of a point")
    return int(digits) - 1


def _first_or(entry_id: bytes, otherwise: int) -> int:
    try:
        return _first_point(entry_id)
    except BadEntryError:
        return otherwise


def _count(event: dict[bytes, bytes]) -> int:
    digits = event.get(b"__NPOINTS__", b"1")
    if not digits.isdigit() or len(digits) > _LONGEST_COUNT or not 0 < int(digits) <= MOST_POINTS:
        raise BadEntryError("its number of points is none")
    return int(digits)


def _as_array(value: Value) -> Array:
    if isinstance(value, np.ndarray | np.generic | bool | int | float | complex):
        array = np.asarray(value)
    elif isinstance(value, list | tuple):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise BadEntryError("its points differ in shape") from error
    else:
        array = np.asarray(None)
    if array.dtype.kind not in "biufc":
        kind = value.name if isinstance(value, Inert) else type(value).__name__
        raise BadEntryError(f"it holds no numbers but a {kind}")
    return array


def _as_dtype(array: Array, dtype: np.dtype[Any]) -> Array:
    """The values in the channel's dtype, if they stay the same."""
    if array.dtype == dtype:
        return array
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
    if not np.array_equal(cast, array, equal_nan=array.dtype.kind in "fc"):
        raise BadEntryError(f"its values of {array.dtype} are none of {dtype}")
    return cast


def _texts(value: Value) -> list[str]:
    items = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    items = items if isinstance(items, list | tuple) else [items]
    if not all(isinstance(item, str) for item in items):
        raise BadEntryError("it holds no texts")
    return list(items)


def _index(status: Value, name: str) -> int:
    value = status.get(name, -1) if isinstance(status, dict) else -1
    value = value.item() if isinstance(value, np.generic) else value
    if type(value) is not int or not -1 <= value < MOST_POINTS:
        return -1
    return value
