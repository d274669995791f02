"""Follows the streams of one scan in Redis; what both generations have in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, TypeVar

from tango_saver.errors import DocumentError, ReplyTooLargeError, SourceError
from tango_saver.model.records import Record, ScanOpened
from tango_saver.model.scan import ChannelSpec, ScanDescription, ScanKey, ScanState
from tango_saver.source.pacing import Pacing
from tango_saver.source.read_until import ReadUntil
from tango_saver.source.scan_in_redis import NoStreamError, ScanInRedis
from tango_saver.source.stream_channel import StreamChannel, point_size
from tango_saver.source.wire import RawEntry

ChannelT = TypeVar("ChannelT", bound=StreamChannel)

_SMALL_BITE = 2**20
"""Bytes below which a call of ``read`` goes on while more is waiting."""
_MOST_EVENTS = 1000
"""Entries of its own that a scan that is not open yet is asked for at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Redis has said about the streams of channels."""

    entries: Mapping[str, Sequence[RawEntry]]
    """By key of the stream; without those that have none."""
    count: int
    """Most entries that were asked for, of each stream."""
    waited: bool
    """All streams were asked for, and Redis waited for an entry if there was none."""


class StreamReader(ABC, Generic[ChannelT]):
    """A ``ScanReader`` with one connection of its own.

    Every step of ``read`` asks Redis one thing, and only its answer changes where the reader
    stands: when Redis goes away nothing is lost, the next call connects anew and goes on.

    Args:
        url: of the Redis that the scan is in.
        key: the scan.
        positions: channel -> index of the first point wanted; 0 where absent.
        timeout_s: longest wait for one answer of Redis.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """

    _OPENING_WAIT_S: ClassVar[float]
    """How long a prepared scan waits for what its description still lacks."""
    _OPENING_PERIOD_S: ClassVar[float] = 0.05
    _NO_EVENTS: ClassVar[str]
    """What is wrong if the scan's own entries are in a key that is no stream."""

    def __init__(
        self,
        url: str,
        key: ScanKey,
        *,
        positions: Mapping[str, int] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self._key = key
        self._redis = ScanInRedis(url, key, timeout_s)
        self._wanted = dict(positions or {})
        self._description: ScanDescription | None = None
        self._is_complete = False
        """The description lacks nothing that is waited for."""
        self._state = ScanState.CREATED
        self._incomplete_since: float | None = None
        self._opened = False
        self._finished = False
        self._channels: dict[str, ChannelT] = {}
        self._by_stream: dict[str, ChannelT] = {}
        self._pacing = Pacing(())
        self._dry_calls = 0
        self._size = 0
        """Bytes, at most, of the points that this call of ``read`` has."""
        self._more_waits = False
        """The last reply ended where it was told to."""
        self._last_sign = time.monotonic()
        """When Redis last had something of the scan."""
        self._read_until = ReadUntil()

    # -- what a generation is to say

    @abstractmethod
    def _load(self) -> ScanDescription:
        """Describe the scan anew, and note whether the description is complete."""

    @abstractmethod
    def _make_channel(self, spec: ChannelSpec, position: int) -> ChannelT:
        """One that can be read from a position on."""

    @abstractmethod
    def _event_cursors(self) -> Mapping[str, str]:
        """Keys of the streams that the scan itself is told in, and the ids to read behind."""

    @abstractmethod
    def _take_events(self, stream: str, entries: Sequence[RawEntry]) -> None:
        """Take in entries of such a stream."""

    @abstractmethod
    def _follow(self, patience_s: float) -> list[Record]:
        """One question to Redis about an open scan, and what follows from its answer.

        Raises:
            NoStreamError: a key is no stream; it is looked for then.
        """

    # -- the reader

    def read(self, timeout_s: float) -> Sequence[Record]:
        """The next records, see ``ScanReader.read``.

        A call takes one reply of Redis, or several small ones while more is waiting there.
        """
        if self._finished:
            return ()
        deadline = time.monotonic() + timeout_s
        records: list[Record] = []
        self._size = 0
        while not self._finished:
            self._more_waits = False
            try:
                records += self._step(0.0 if records else max(deadline - time.monotonic(), 0.0))
            except SourceError:
                if not records:
                    raise
                break  # the next call meets it again
            if records:
                if not self._more_waits or self._size >= _SMALL_BITE:
                    break
            elif time.monotonic() >= deadline:
                break
        return records

    @property
    def read_until(self) -> float:
        """See ``ScanReader.read_until``."""
        if not self._opened:
            return self._read_until.before_opening
        return self._read_until.of(self._pacing.channels)

    def positions(self) -> Mapping[str, int]:
        """Channel -> index of the next point that ``read`` would return."""
        if not self._opened:
            return dict(self._wanted)
        return {name: channel.position for name, channel in self._channels.items()}

    def describe(self) -> ScanDescription:
        """The newest description seen; before the first, it is read from Redis."""
        return self._description or self._load()

    def rest(self) -> None:
        """See ``ScanReader.rest``."""
        self._redis.disconnect()

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._finished = True
        self._redis.disconnect()

    def _step(self, patience_s: float) -> list[Record]:
        """One question to Redis, and what follows from its answer."""
        if self._description is None:
            self._load()
            return []
        if self._opened:
            try:
                return self._follow(patience_s)
            except NoStreamError:
                return self._drop_culprits()
        if self._state is ScanState.CREATED or self._incomplete_since is not None:
            self._await_state(patience_s)
        return [] if self._state is ScanState.CREATED else self._open()

    # -- before the scan is open

    def _await_state(self, patience_s: float) -> None:
        if self._incomplete_since is not None:
            patience_s = min(patience_s, self._OPENING_PERIOD_S)
        asked_at = time.monotonic()
        try:
            self._xread([], _MOST_EVENTS, patience_s)
        except NoStreamError:
            self._drop_culprits()
            return
        if self._state is ScanState.CREATED:
            self._read_until.before_opening = asked_at
            self._redis.check_alive()

    def _open(self) -> list[Record]:
        description = self._load()
        if not self._is_complete and self._state is not ScanState.CLOSED:
            now = time.monotonic()
            self._incomplete_since = self._incomplete_since or now
            if now < self._incomplete_since + self._OPENING_WAIT_S:
                return []
        self._prepare_channels(description)
        self._opened = True
        self._last_sign = time.monotonic()
        unreadable = [c for c in self._channels.values() if c.spec.problem]
        return [ScanOpened(description), *(c.fail(c.spec.problem) for c in unreadable)]

    def _prepare_channels(self, description: ScanDescription) -> None:
        channels = {
            name: self._make_channel(spec, self._wanted.get(name, 0))
            for name, spec in description.channels.items()
        }
        readable = {name: c for name, c in channels.items() if not c.spec.problem}
        self._begin_inside([channel for channel in readable.values() if channel.position])
        self._channels = channels
        self._by_stream = {channel.spec.stream: channel for channel in readable.values()}
        self._pacing = Pacing((name, point_size(c.spec)) for name, c in readable.items())

    def _begin_inside(self, resumed: Sequence[ChannelT]) -> None:
        """Find the entries that hold, in their middle, the points to go on from."""
        places = [(channel.spec.stream, channel.last_before) for channel in resumed]
        for channel, newest in zip(resumed, self._redis.newest_entries(places), strict=True):
            if newest is not None:  # else no stream: found out, and reported, when it is read
                channel.begin_inside(newest)

    # -- while it is open

    def _ask(self, patience_s: float, *, may_wait: bool = True) -> Answer:
        """Ask for the next entries of channels.

        Args:
            patience_s: longest wait for the first entry.
            may_wait: whether it makes sense to wait at all.

        Raises:
            NoStreamError: a key is no stream.
        """
        names, count = self._pacing.next_call()
        n_groups = self._pacing.n_groups
        # Only when all groups were found empty, in turns, does it make sense to wait.
        waits = may_wait and (n_groups <= 1 or self._dry_calls >= n_groups)
        if waits and n_groups > 1:
            names, count = self._pacing.channels, 1
        asked_at = time.monotonic()
        reply = self._xread(names, count, patience_s if waits else 0.0)
        full = {
            self._by_stream[key].spec.name for key, found in reply.items() if len(found) >= count
        }
        self._read_until.read(names, asked_at, full)
        self._dry_calls = 0 if reply else self._dry_calls + 1
        return Answer(reply, count, waits)

    def _records(self, answer: Answer) -> list[Record]:
        records: list[Record] = []
        largest: list[tuple[str, int]] = []
        for stream, entries in answer.entries.items():
            channel = self._by_stream[stream]
            found, size = channel.take(entries)
            records += found
            largest.append((channel.spec.name, size))
            self._size += size * len(entries)
            self._more_waits |= channel.live and len(entries) >= answer.count
        self._pacing.saw(largest)
        for name, _ in largest:
            if not self._channels[name].live:
                self._pacing.drop(name)
        return records

    def _drop(self, name: str, reason: str) -> Record:
        """Read one channel no further."""
        self._pacing.drop(name)
        return self._channels[name].fail(reason)

    # -- Redis

    def _xread(
        self, names: Sequence[str], count: int, patience_s: float
    ) -> Mapping[str, Sequence[RawEntry]]:
        """Entries of channels by stream; what is said of the scan itself is taken in on the way.

        Raises:
            NoStreamError: a key is no stream.
            ReplyTooLargeError: the next call asks for less.
        """
        cursors = [(self._channels[n].spec.stream, self._channels[n].cursor) for n in names]
        events = self._event_cursors() if self._state is not ScanState.CLOSED else {}
        try:
            reply = self._redis.read_streams([*cursors, *events.items()], count, patience_s)
        except ReplyTooLargeError:
            self._pacing.ask_for_less()
            raise
        if reply:
            self._last_sign = time.monotonic()
        for stream in tuple(events):
            if stream in reply:
                self._take_events(stream, reply.pop(stream))
        return reply

    def _reached(self, states: Sequence[ScanState]) -> None:
        """The scan has been in these states; it never goes back."""
        self._state = max([self._state, *states])
        if self._description is not None:
            self._description = replace(self._description, state=self._state)

    def _drop_culprits(self) -> list[Record]:
        """One key that is no stream spoils the reading of all: find it."""
        names = self._pacing.channels
        streams = [self._channels[name].spec.stream for name in names]
        kinds = self._redis.kinds([*streams, *self._event_cursors()])
        if any(kind not in (b"stream", b"none") for kind in kinds[len(names) :]):
            raise DocumentError(self._NO_EVENTS, scan=self._key)
        return [
            self._drop(name, f"its key is no stream but a {kind.decode()}")
            for name, kind in zip(names, kinds, strict=False)
            if kind not in (b"stream", b"none")
        ]
