"""Follows one scan of BLISS >= 2 to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import redis

from tango_saver.errors import (
    DocumentError,
    ReplyTooLargeError,
    ScanNotFoundError,
    SourceError,
)
from tango_saver.model.records import Record, ScanClosed, ScanOpened
from tango_saver.model.scan import (
    ChannelSpec,
    EndReason,
    ScanDescription,
    ScanKey,
    ScanState,
)
from tango_saver.source.bliss2.channel import ChannelReader
from tango_saver.source.bliss2.document import decode_document
from tango_saver.source.bliss2.pacing import Pacing
from tango_saver.source.bliss2.wire import (
    RawEntry,
    connect,
    get_document,
    is_deleted,
    read_streams,
    redis_errors,
    states,
    time_to_live,
)
from tango_saver.source.read_until import ReadUntil

_DOCUMENT_WAIT_S = 0.2
"""How long a document is read again that names channels without a stream (yet)."""
_DOCUMENT_PERIOD_S = 0.05
_SEAL_GRACE_S = 1.0
"""BLISS ends every stream before it closes the scan; others may be a moment late."""
_SMALL_BITE = 2**20
"""Bytes below which a call of ``read`` goes on while more is waiting."""
_CHECK_PERIOD_S = 2.0
"""A scan that says nothing may have been deleted: XREAD would wait for ever."""


def _point_size(spec: ChannelSpec) -> int:
    size = spec.dtype.itemsize if spec.dtype is not None else 64
    for n in spec.shape or ():
        size *= n or 1
    return size


class Bliss2Reader:
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

    def __init__(
        self,
        url: str,
        key: ScanKey,
        *,
        positions: Mapping[str, int] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self._key = key
        self._timeout_s = timeout_s
        self._client = connect(url, timeout_s)
        self._wanted = dict(positions or {})
        self._description: ScanDescription | None = None
        self._is_final = False
        """The description was read when the scan was known to be closed."""
        self._state = ScanState.CREATED
        self._state_cursor = "0-0"
        self._incomplete_since: float | None = None
        self._opened = False
        self._finished = False
        self._channels: dict[str, ChannelReader] = {}
        self._by_stream: dict[str, ChannelReader] = {}
        self._pacing = Pacing(())
        self._dry_calls = 0
        self._size = 0
        """Bytes, at most, of the points that this call of ``read`` has."""
        self._more_waits = False
        """The last reply ended where it was told to."""
        self._last_sign = time.monotonic()
        self._next_check = 0.0
        self._read_until = ReadUntil()

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

    @property
    def kept_s(self) -> float:
        """BLISS >= 2 does not limit the length of a stream."""
        return math.inf

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
        self._client.connection_pool.disconnect()

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._finished = True
        self._client.connection_pool.disconnect()

    def _load(self) -> ScanDescription:
        description = decode_document(get_document(self._client, self._key), self._key, self._state)
        self._description = description
        self._is_final = self._state is ScanState.CLOSED
        return description

    def _step(self, patience_s: float) -> list[Record]:
        """One question to Redis, and what follows from its answer."""
        if self._description is None:
            self._load()
            return []
        if self._opened:
            return self._follow(patience_s)
        if self._state is ScanState.CREATED or self._incomplete_since is not None:
            self._await_state(patience_s)
        if self._state is ScanState.CREATED:
            return []
        return self._open()

    # -- before the scan is open

    def _await_state(self, patience_s: float) -> None:
        if self._incomplete_since is not None:
            patience_s = min(patience_s, _DOCUMENT_PERIOD_S)
        asked_at = time.monotonic()
        if self._xread([], 1000, patience_s) is None:
            self._drop_culprits()
        elif self._state is ScanState.CREATED:
            self._read_until.before_opening = asked_at
            self._check_alive()

    def _open(self) -> list[Record]:
        description = self._load()
        if description.missing_channels and self._state is not ScanState.CLOSED:
            now = time.monotonic()
            self._incomplete_since = self._incomplete_since or now
            if now < self._incomplete_since + _DOCUMENT_WAIT_S:
                return []
        self._prepare_channels(description)
        self._opened = True
        self._last_sign = time.monotonic()
        unreadable = [c for c in self._channels.values() if c.spec.problem]
        return [ScanOpened(description), *(c.fail(c.spec.problem) for c in unreadable)]

    def _prepare_channels(self, description: ScanDescription) -> None:
        channels = {
            name: ChannelReader(spec, self._wanted.get(name, 0))
            for name, spec in description.channels.items()
        }
        readable = {name: c for name, c in channels.items() if not c.spec.problem}
        resumed = [channel for channel in readable.values() if channel.position]
        if resumed:
            with redis_errors(self._key):
                pipeline = self._client.pipeline(transaction=False)
                for channel in resumed:
                    pipeline.execute_command(
                        "XREVRANGE", channel.spec.stream, channel.position - 1, "-", "COUNT", 1
                    )
                replies = pipeline.execute(raise_on_error=False)
                for channel, reply in zip(resumed, replies, strict=True):
                    if isinstance(reply, redis.ResponseError):
                        continue  # no stream: found out, and reported, when it is read
                    if isinstance(reply, Exception):
                        raise reply
                    channel.begin_inside(reply)
        self._channels = channels
        self._by_stream = {channel.spec.stream: channel for channel in readable.values()}
        self._pacing = Pacing((name, _point_size(c.spec)) for name, c in readable.items())

    # -- while it is open

    def _follow(self, patience_s: float) -> list[Record]:
        if not self._pacing.channels and self._state is ScanState.CLOSED:
            return [self._closed()]
        if self._state is ScanState.CLOSED:
            patience_s = min(patience_s, self._last_sign + _SEAL_GRACE_S - time.monotonic())
        names, count = self._pacing.next_call()
        # Only when all groups were found empty, in turns, does it make sense to wait.
        waits = self._pacing.n_groups <= 1 or self._dry_calls >= self._pacing.n_groups
        if waits and self._pacing.n_groups > 1:
            names, count = self._pacing.channels, 1
        asked_at = time.monotonic()
        reply = self._xread(names, count, patience_s if waits else 0.0)
        if reply is None:
            return self._drop_culprits()
        full = {
            self._by_stream[key].spec.name for key, found in reply.items() if len(found) >= count
        }
        self._read_until.read(names, asked_at, full)
        self._dry_calls = 0 if reply else self._dry_calls + 1
        if not reply and waits:
            return self._silence()
        return self._records(reply, count)

    def _records(self, reply: Mapping[str, Sequence[RawEntry]], count: int) -> list[Record]:
        records: list[Record] = []
        largest: list[tuple[str, int]] = []
        for stream, entries in reply.items():
            channel = self._by_stream[stream]
            found, size = channel.take(entries)
            records += found
            largest.append((channel.spec.name, size))
            self._size += size * len(entries)
            self._more_waits |= channel.live and len(entries) >= count
        self._pacing.saw(largest)
        for name, _ in largest:
            if not self._channels[name].live:
                self._pacing.drop(name)
        return records

    def _silence(self) -> list[Record]:
        if self._state is not ScanState.CLOSED:
            self._check_alive()
            return []
        if time.monotonic() < self._last_sign + _SEAL_GRACE_S:
            return []
        return [
            self._drop(name, "the scan is closed but the stream has no end: points may be missing")
            for name in self._pacing.channels
        ]

    def _drop(self, name: str, reason: str) -> Record:
        self._pacing.drop(name)
        return self._channels[name].fail(reason)

    def _closed(self) -> ScanClosed:
        opened = self.describe()
        try:
            description = opened if self._is_final else self._load()
        except (ScanNotFoundError, DocumentError) as error:
            # Every point was read; the scan shall not be lost for its last page.
            gone = isinstance(error, ScanNotFoundError)
            self._description = description = replace(
                opened,
                state=ScanState.CLOSED,
                end_reason=opened.end_reason or (EndReason.DELETION.value if gone else ""),
                warnings=(*opened.warnings, f"the final document could not be used: {error.fact}"),
            )
        self._finished = True
        return ScanClosed(description)

    # -- Redis

    def _xread(
        self, names: Sequence[str], count: int, patience_s: float
    ) -> dict[str, Sequence[RawEntry]] | None:
        """Entries of data streams by stream; None if a key is no stream.

        States are taken in on the way. Waits at most half of what the connection waits.
        """
        cursors = [(self._channels[n].spec.stream, self._channels[n].cursor) for n in names]
        description = self.describe()
        if self._state is not ScanState.CLOSED:
            cursors.append((description.state_stream, self._state_cursor))
        patience_s = min(patience_s, self._timeout_s / 2, _CHECK_PERIOD_S)
        try:
            with redis_errors(self._key):
                reply = read_streams(self._client, cursors, count, int(patience_s * 1000))
        except ReplyTooLargeError:
            self._pacing.ask_for_less()
            raise
        except SourceError as error:
            self._next_check = 0.0
            if isinstance(error.__cause__, redis.ResponseError) and "WRONGTYPE" in error.fact:
                return None
            raise
        if reply:
            self._last_sign = time.monotonic()
        announced = reply.pop(description.state_stream, None)
        if announced:
            self._state_cursor = announced[-1][0].decode()
            self._state = max([self._state, *states(announced)])
            self._description = replace(description, state=self._state)
        return reply

    def _check_alive(self) -> None:
        """Make sure, now and then, that a silent scan still exists."""
        if time.monotonic() < self._next_check:
            return
        if is_deleted(time_to_live(self._client, self._key)):
            raise ScanNotFoundError(
                "the scan vanished from Redis before it was closed",
                scan=self._key,
                advice="It was deleted, or Redis was restarted without its data",
            )
        self._next_check = time.monotonic() + _CHECK_PERIOD_S

    def _drop_culprits(self) -> list[Record]:
        """One key that is no stream spoils the reading of all: find it."""
        names = self._pacing.channels
        streams = [self._channels[name].spec.stream for name in names]
        with redis_errors(self._key):
            pipeline = self._client.pipeline(transaction=False)
            for stream in (*streams, self.describe().state_stream):
                pipeline.execute_command("TYPE", stream)
            *kinds, state_kind = pipeline.execute()
        if state_kind not in (b"stream", b"none"):
            raise DocumentError("the key is no stream: $.state_stream.pk", scan=self._key)
        return [
            self._drop(name, f"its key is no stream but a {kind.decode()}")
            for name, kind in zip(names, kinds, strict=True)
            if kind not in (b"stream", b"none")
        ]
