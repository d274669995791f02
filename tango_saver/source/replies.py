"""What a reply of Redis may be, so that an answer that is none costs neither memory nor time.

hiredis makes a list as long as a reply announces before there is a single element: sixteen
bytes of nonsense take as many GB, and minutes. So every reply is looked through on its way to
hiredis, by the lengths in it and thus without a look at the values: about 0.3 us for an entry
of one number, 1.2 us for one of any size.
"""

from __future__ import annotations

import re
import time
from typing import Any

import redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA, _HiredisParser  # the parser of redis-py

_MOST_ELEMENTS = 1_000_000
"""Of one list. The longest that is asked for has 65536 entries."""
_LARGEST_VALUE = 2**30
"""Bytes; Redis itself takes no larger one than half of it, unless told to."""
_LARGEST_REPLY = 2**30
"""Bytes, the values included."""
_LARGE_VALUE = 2**16
"""Bytes; what is smaller can cost many times its size once it is an object."""
_MOST_SMALL = 2**26
"""Bytes of one reply beside its large values."""
_LONGEST_LINE = 2**16
"""Bytes of an error or a status."""
FIRST_READ = 2**12
_LARGEST_READ = 2**18
"""Bytes that one read takes at most: 16 MB arrive in a few dozen, and it fits into the cache.
A connection begins with less, and so do the thousands that quiet scans have."""
_LEAST_RATE = 100e3
"""Bytes/s that a reply has to come with."""


def _lengths_below_100() -> str:
    """A pattern for the length of a value and the value behind it."""
    by_first_digit = [r"0\r\n\r\n"]
    for first in range(1, 10):
        longer = "|".join(rf"{n % 10}\r\n.{{{n}}}" for n in range(10 * first, 10 * first + 10))
        by_first_digit.append(rf"{first}(?:\r\n.{{{first}}}|{longer})\r\n")
    return "|".join(by_first_digit)


_SMALL_THINGS = re.compile(
    rf"(?:\*\d\r\n|\$(?:{_lengths_below_100()})|:-?\d{{1,20}}\r\n)*+".encode(), re.DOTALL
)
"""As many whole ones as there are, in one step: most of a reply with scalars."""
_LENGTH = re.compile(rb"([*~>|%$=!])(-?\d{1,20})\r\n")
_LINE = re.compile(rb".*?\r\n", re.DOTALL)
_END = b"\r\n"
_VALUES = b"$=!"


class BadReplyError(redis.InvalidResponse):
    """A reply that no Redis gives."""


class LargeReplyError(BadReplyError):
    """A reply that is too large, or comes too slowly: it helps to ask for less."""


def bounded_parser(timeout_s: float) -> type[_HiredisParser]:
    """The class of a parser for redis-py that refuses replies beyond all measure.

    Args:
        timeout_s: seconds that a reply may be waited for once it has begun, all its pauses
            together; and one more for each 100 kB of it.
    """

    class BoundedParser(_HiredisParser):
        def on_disconnect(self) -> None:
            super().on_disconnect()  # type: ignore[no-untyped-call]
            self._buffer = bytearray(FIRST_READ)

        def on_connect(self, connection: Any, **kwargs: Any) -> None:
            super().on_connect(connection, **kwargs)  # type: ignore[no-untyped-call]
            self._reader: Any = BoundedReader(self._reader, timeout_s)

    return BoundedParser


class BoundedReader:
    """A ``hiredis.Reader`` with every reply looked through before it gets it.

    Args:
        reader: of hiredis, made by redis-py.
        timeout_s: see ``bounded_parser``.
    """

    def __init__(self, reader: Any, timeout_s: float) -> None:
        self._reader = reader
        self._timeout_s = timeout_s
        self._to_skip = 0
        """Bytes of a value that have not come yet."""
        self._rest = b""
        """The beginning of a line whose end has not come yet."""
        self._asked_at = 0.0
        self._begin_reply()

    def feed(self, buffer: bytearray, offset: int, size: int) -> None:
        """Take in what was received.

        Raises:
            BadReplyError: it announces what no Redis has.
            LargeReplyError: the reply is larger, or comes more slowly, than it may.
        """
        self._look_at_the_clock(size)
        if size <= self._to_skip:
            self._to_skip -= size
        else:
            with memoryview(buffer)[offset : offset + size] as received:
                self._look_through(self._rest + received if self._rest else received)
        self._reader.feed(buffer, offset, size)
        if size == len(buffer) < _LARGEST_READ:
            buffer.extend(bytes(3 * size))  # more is waiting

    def gets(self, *args: Any) -> Any:
        """The next reply, or what redis-py takes for none."""
        reply = self._reader.gets(*args)
        if reply is NOT_ENOUGH_DATA:
            self._asked_at = time.monotonic()
        else:
            self._begin_reply()
        return reply

    def has_data(self) -> bool:
        """Whether something has come that was not given back yet."""
        return bool(self._reader.has_data())

    def _begin_reply(self) -> None:
        self._n_come = 0
        self._waited_s = 0.0
        self._n_small = 0
        self._n_large = 0

    def _look_at_the_clock(self, size: int) -> None:
        if self._n_come:
            self._waited_s += time.monotonic() - self._asked_at
        if self._waited_s > self._timeout_s + self._n_come / _LEAST_RATE:
            raise LargeReplyError(
                f"an answer is not complete after {self._waited_s:.1f} s and {self._n_come} bytes"
            )
        self._n_come += size

    def _look_through(self, data: bytes | memoryview) -> None:
        """Follow the lengths in it; what else is wrong, hiredis finds."""
        self._rest = b""
        place, size = self._to_skip, len(data)
        while place < size:
            small = _SMALL_THINGS.match(data, place)
            if small:
                self._n_small += small.end() - place
                place = small.end()
            length = _LENGTH.match(data, place)
            if length:
                place = length.end() + self._announced(length[1], int(length[2]))
            elif place < size:
                place = self._line(data, place)
            self._check_size()
        self._to_skip = place - size

    def _announced(self, kind: bytes, length: int) -> int:
        """Bytes until the next thing that has a length."""
        if kind not in _VALUES:
            if length > _MOST_ELEMENTS:
                raise BadReplyError(f"an answer announces a list of {length} elements")
            self._n_small += 1
            return 0
        if length > _LARGEST_VALUE:
            raise BadReplyError(f"an answer announces a value of {length} bytes")
        if length < 0:
            return 0
        if length < _LARGE_VALUE:
            self._n_small += length
        else:
            self._n_large += length
        return length + len(_END)

    def _line(self, data: bytes | memoryview, place: int) -> int:
        """Where the line ends that begins at this place."""
        line = _LINE.match(data, place)
        end = line.end() if line else len(data)
        if end - place > _LONGEST_LINE:
            raise BadReplyError("an answer has a line without an end")
        if not line:
            self._rest = bytes(data[place:])
        self._n_small += end - place
        return end

    def _check_size(self) -> None:
        if self._n_small > _MOST_SMALL or self._n_small + self._n_large > _LARGEST_REPLY:
            raise LargeReplyError(f"an answer has more than {self._n_small + self._n_large} bytes")
