"""Follows one scan of BLISS 1 to its end."""

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
from tango_saver.model.records import ChannelFailed, Record, ScanClosed, ScanOpened
from tango_saver.model.scan import EndReason, ScanDescription, ScanKey, ScanState
from tango_saver.source.bliss1.channel import ChannelReader, point_size
from tango_saver.source.bliss1.description import describe_scan
from tango_saver.source.bliss1.tree import END, PREPARED, event_fields
from tango_saver.source.bliss2.pacing import Pacing
from tango_saver.source.bliss2.wire import (
    RawEntry,
    connect,
    is_deleted,
    read_streams,
    redis_errors,
    time_to_live,
)
from tango_saver.source.read_until import EntryRate, ReadUntil

_CAMERA_WAIT_S = 5.0
"""How long a prepared scan waits for its cameras to say where they save."""
_CAMERA_PERIOD_S = 0.05
_SMALL_BITE = 2**20
"""Bytes below which a call of ``read`` goes on while more is waiting."""
_CHECK_PERIOD_S = 2.0
"""A scan that says nothing may have been deleted: XREAD would wait for ever."""
_KEPT_ENTRIES = 2048
"""Of each stream; BLISS 1 drops the oldest beyond that."""
_STATE_WAIT_S = 0.2
"""BLISS 1.8 tells how a scan ended only in its last state, a moment after its end."""


class Bliss1Reader:
    """A ``ScanReader`` with one connection of its own.

    END_SCAN counts only once every stream of the scan was found empty after it: it never
    overtakes a point. Every step asks Redis one thing, and only its answer changes where the
    reader stands: when Redis goes away nothing is lost.

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
        self._state = ScanState.CREATED
        self._cursors = {f"{key}{PREPARED}": "0-0", f"{key}{END}": "0-0"}
        self._prepared_since: float | None = None
        self._opened = False
        self._finished = False
        self._channels: dict[str, ChannelReader] = {}
        self._by_stream: dict[str, ChannelReader] = {}
        self._pacing = Pacing(())
        self._dry_calls = 0
        self._dry_at_end = 0
        """Calls in a row that found nothing, all made after END_SCAN was seen."""
        self._size = 0
        self._more_waits = False
        self._next_check = 0.0
        self._read_until = ReadUntil()
        self._rate = EntryRate()

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
        """How long it takes until an entry is pushed out of its stream by newer ones."""
        return _KEPT_ENTRIES / self._rate.fastest if self._rate.fastest else math.inf

    def positions(self) -> Mapping[str, int]:
        """Channel -> index of the next point that ``read`` would return."""
        if not self._opened:
            return dict(self._wanted)
        return {name: channel.position for name, channel in self._channels.items()}

    def describe(self) -> ScanDescription:
        """The newest description seen; before the first, it is read from Redis."""
        if self._description is None:
            self._load()
        return self._description or describe_scan(self._client, self._key).description

    def rest(self) -> None:
        """See ``ScanReader.rest``."""
        self._client.connection_pool.disconnect()

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._finished = True
        self._client.connection_pool.disconnect()

    def _load(self) -> bool:
        """Describe the scan anew; whether all cameras have said where they save."""
        found = describe_scan(self._client, self._key)
        self._description = found.description
        return not found.cameras_waiting

    def _step(self, patience_s: float) -> list[Record]:
        """One question to Redis, and what follows from its answer."""
        if self._description is None:
            self._load()
            return []
        if self._opened:
            return self._follow(patience_s)
        if self._state is ScanState.CREATED or self._prepared_since is not None:
            self._await_state(patience_s)
        return [] if self._state is ScanState.CREATED else self._open()

    # -- before the scan is open

    def _await_state(self, patience_s: float) -> None:
        if self._prepared_since is not None:
            patience_s = min(patience_s, _CAMERA_PERIOD_S)
        asked_at = time.monotonic()
        self._xread([], 100, patience_s)
        if self._state is ScanState.CREATED:
            self._read_until.before_opening = asked_at
            self._check_alive()

    def _open(self) -> list[Record]:
        if not self._load() and self._state is not ScanState.CLOSED:
            now = time.monotonic()
            self._prepared_since = self._prepared_since or now
            if now < self._prepared_since + _CAMERA_WAIT_S:
                return []
        description = self.describe()
        self._prepare_channels(description)
        self._opened = True
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
                    last = f"{channel.position}-0"
                    pipeline.execute_command(
                        "XREVRANGE", channel.spec.stream, last, "-", "COUNT", 1
                    )
                replies = pipeline.execute(raise_on_error=False)
            for channel, reply in zip(resumed, replies, strict=True):
                if isinstance(reply, redis.ResponseError):
                    continue  # no stream: found out, and reported, when it is read
                with redis_errors(self._key):
                    if isinstance(reply, Exception):
                        raise reply
                channel.begin_inside(reply)
        self._channels = channels
        self._by_stream = {channel.spec.stream: channel for channel in readable.values()}
        self._pacing = Pacing((name, point_size(c.spec)) for name, c in readable.items())

    # -- while it is open

    def _follow(self, patience_s: float) -> list[Record]:
        is_over = self._state is ScanState.CLOSED
        n_groups = self._pacing.n_groups
        if is_over and self._dry_at_end >= max(n_groups, 1):
            return self._closed()
        names, count = self._pacing.next_call()
        # Only when all groups were found empty, in turns, does it make sense to wait.
        waits = not is_over and (n_groups <= 1 or self._dry_calls >= n_groups)
        if waits and n_groups > 1:
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
        # That END_SCAN was seen in this very call says nothing of the streams in it.
        self._dry_at_end = self._dry_at_end + 1 if is_over and not reply else 0
        if not reply and waits:
            self._check_alive()
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
            self._rate.saw(channel.spec.name, len(entries))
            self._more_waits |= channel.live and len(entries) >= count
        if not self._more_waits:
            self._rate.caught_up(self.read_until)
        self._pacing.saw(largest)
        for name, _ in largest:
            if not self._channels[name].live:
                self._pacing.drop(name)
        return records

    def _closed(self) -> list[Record]:
        """Every point was read: end the channels and the scan."""
        opened = self.describe()
        records = self._vanished()
        live = [channel for channel in self._channels.values() if channel.live]
        description = self._last_description(opened)
        for channel in live:
            records += channel.end()
        late = [name for name in description.channels if name not in self._channels]
        if late:
            sentence = f"channels that were announced after the scan began: {', '.join(late)}"
            description = replace(
                description,
                channels=opened.channels,
                subscans=opened.subscans,
                warnings=(*description.warnings, sentence),
            )
        # What a camera says when it is prepared does not change while a scan runs.
        description = replace(description, channels=opened.channels)
        self._description = description
        self._finished = True
        return [*records, ScanClosed(description)]

    def _vanished(self) -> list[Record]:
        """Streams that a Redis short of memory has dropped, with all their points."""
        live = [channel for channel in self._channels.values() if channel.live]
        with redis_errors(self._key):
            pipeline = self._client.pipeline(transaction=False)
            for channel in live:
                pipeline.execute_command("EXISTS", channel.spec.stream)
            present = pipeline.execute()
        return [
            channel.fail("its stream vanished from Redis: points may be missing")
            for channel, is_there in zip(live, present, strict=True)
            if not is_there
        ]

    def _last_description(self, opened: ScanDescription) -> ScanDescription:
        deadline = time.monotonic() + _STATE_WAIT_S
        try:
            self._load()
            while not self.describe().end_reason and time.monotonic() < deadline:
                self._xread([], 1, _CAMERA_PERIOD_S)
                self._load()
        except (ScanNotFoundError, DocumentError) as error:
            # Every point was read; the scan shall not be lost for its last page.
            gone = isinstance(error, ScanNotFoundError)
            return replace(
                opened,
                state=ScanState.CLOSED,
                end_reason=EndReason.DELETION.value if gone else opened.end_reason,
                warnings=(*opened.warnings, f"the end could not be read: {error.fact}"),
            )
        return self.describe()

    # -- Redis

    def _xread(
        self, names: Sequence[str], count: int, patience_s: float
    ) -> dict[str, Sequence[RawEntry]] | None:
        """Entries of data streams by stream; None if a key is no stream.

        PREPARED_SCAN and END_SCAN are taken in on the way.
        """
        cursors = [(self._channels[n].spec.stream, self._channels[n].cursor) for n in names]
        if self._state is not ScanState.CLOSED:
            cursors += self._cursors.items()
        if not cursors:
            return {}
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
        for stream in list(self._cursors):
            entries = reply.pop(stream, None)
            if entries:
                self._cursors[stream] = entries[-1][0].decode()
                self._take_events(entries)
        return reply

    def _take_events(self, entries: Sequence[RawEntry]) -> None:
        states = {b"PREPARED_SCAN": ScanState.PREPARED, b"END_SCAN": ScanState.CLOSED}
        for _, fields in entries:
            event = event_fields(fields).get(b"__EVENT__", b"")
            self._state = max(self._state, states.get(event, self._state))
        if self._description is not None:
            self._description = replace(self._description, state=self._state)

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
        with redis_errors(self._key):
            pipeline = self._client.pipeline(transaction=False)
            for stream in (*(self._channels[name].spec.stream for name in names), *self._cursors):
                pipeline.execute_command("TYPE", stream)
            kinds = pipeline.execute()
        if any(kind not in (b"stream", b"none") for kind in kinds[len(names) :]):
            raise DocumentError("a key of its events is no stream", scan=self._key)
        records: list[Record] = []
        for name, kind in zip(names, kinds, strict=False):
            if kind not in (b"stream", b"none"):
                self._pacing.drop(name)
                failed: ChannelFailed = self._channels[name].fail(
                    f"its key is no stream but a {kind.decode()}"
                )
                records.append(failed)
        return records
