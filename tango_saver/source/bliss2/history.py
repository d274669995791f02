"""Hears of the scans that BLISS >= 2 creates."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import redis

from tango_saver.errors import ProtocolVersionError, RedisUnreachableError, SourceError
from tango_saver.model.scan import ScanAnnouncement, ScanDescription, ScanKey, ScanState
from tango_saver.source.base import EntryRange
from tango_saver.source.bliss2.document import Identity, decode_document
from tango_saver.source.bliss2.target import scan_target
from tango_saver.source.bliss2.wire import HISTORY_KEY, check_protocol, get_document, states
from tango_saver.source.moment import entry_range
from tango_saver.source.wire import RawEntry, StreamConnection, connect, is_deleted, redis_errors

_MOST_SCANS = 256
"""Scans announced by one call."""
_CHECK_PERIOD_S = 1.0
"""How often it is made sure that the database is BLISS's still."""

_PATHS = (
    "$.id",
    "$.info.save",
    "$.info.data_writer",
    "$.info.filename",
    "$.info.images_path",
    "$.info.writer_options.separate_scan_files",
)


class _Answer(msgspec.Struct):
    """What JSON.GET with several paths gives: for each one the list of its matches."""

    id: tuple[Identity] = msgspec.field(name="$.id")
    save: list[bool | None] = msgspec.field(name="$.info.save", default_factory=list)
    writer: list[str | None] = msgspec.field(name="$.info.data_writer", default_factory=list)
    filename: list[str | None] = msgspec.field(name="$.info.filename", default_factory=list)
    images_path: list[Any] = msgspec.field(name="$.info.images_path", default_factory=list)
    separate: list[Any] = msgspec.field(
        name="$.info.writer_options.separate_scan_files", default_factory=list
    )


_ANSWER = msgspec.json.Decoder(_Answer)


def _announcement(entry: str, key: str, answer: bytes) -> ScanAnnouncement:
    """What one scan says of itself; msgspec's errors and UnicodeError are the caller's."""
    found = _ANSWER.decode(answer)
    identity = found.id[0]
    target = scan_target(
        identity.path or next(iter(found.filename), None) or "",
        next(iter(found.images_path), None),
        next(iter(found.separate), None),
        next(iter(found.writer), None),
    )
    return ScanAnnouncement(
        key=ScanKey(key),
        entry=entry,
        session=identity.session,
        name=identity.name,
        number=identity.number,
        saved=bool(target) and next(iter(found.save), None) is not False,
        writer=next(iter(found.writer), None) or "",
        target=target,
    )


def _order(entry: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry.partition(b"-")
    return int(milliseconds), int(number or 0)


class Bliss2Source:
    """A ``ScanSource``; ``new_scans`` and ``describe`` may be called from different threads.

    Args:
        url: of the Redis that BLISS publishes into.
        timeout_s: longest wait for one answer of Redis.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._client = connect(url, timeout_s)
        self._streams = StreamConnection(self._client)
        self._timeout_s = timeout_s
        self._closed = threading.Event()
        self._reach_was_checked = False
        self._check_at = 0.0

    def last_entry(self) -> str:
        """Where the history ends, ``0-0`` if it is empty; see ``ScanSource.last_entry``."""
        check_protocol(self._client)
        with redis_errors():
            newest = self._client.execute_command("XREVRANGE", HISTORY_KEY, "+", "-", "COUNT", 1)
        return newest[0][0].decode() if newest else "0-0"

    def entry_at(self, moment: float) -> EntryRange:
        """Where the history stood at a moment, see ``ScanSource.entry_at``."""
        check_protocol(self._client)
        return entry_range(self._client, moment)

    def new_scans(
        self, since: str, timeout_s: float
    ) -> tuple[Sequence[ScanAnnouncement], str, Sequence[str]]:
        """The scans behind ``since``, see ``ScanSource.new_scans``; nothing once closed.

        Scans that were deleted since they were announced are counted in one warning.
        """
        try:
            return self._wait_for_scans(since, time.monotonic() + timeout_s)
        except RedisUnreachableError:
            self._check_at = 0.0  # one that was restarted may be empty
            self._client.connection_pool.disconnect()
            if not self._closed.is_set():
                raise
        return (), since, ()

    def describe(self, key: ScanKey) -> ScanDescription:
        """The scan as its document says now, see ``ScanSource.describe``."""
        first = decode_document(get_document(self._client, key), key, ScanState.CREATED)
        with redis_errors(key):
            newest = self._client.execute_command(
                "XREVRANGE", first.state_stream, "+", "-", "COUNT", 1
            )
        # Read again: a document is never older than a state that was read before it.
        state = max(states(newest), default=ScanState.CREATED)
        return decode_document(get_document(self._client, key), key, state)

    def close(self) -> None:
        """Close the connections; a ``new_scans`` that waits returns at once."""
        self._closed.set()
        self._client.connection_pool.disconnect()

    def _wait_for_scans(
        self, since: str, deadline: float
    ) -> tuple[Sequence[ScanAnnouncement], str, Sequence[str]]:
        gap = self._gap_behind(since)
        if gap:
            return (), since, (gap,)
        while not self._closed.is_set():
            patience_s = min(max(deadline - time.monotonic(), 0.0), self._timeout_s / 2)
            entries = self._entries(since, patience_s)
            if entries:
                return self._announce(entries)
            if time.monotonic() >= deadline:
                break
        return (), since, ()

    def _gap_behind(self, since: str) -> str:
        """Told once: scans behind this place may have been dropped from the history."""
        if self._reach_was_checked or since.startswith("0-"):
            return ""
        check_protocol(self._client)
        with redis_errors():
            oldest = self._client.execute_command("XRANGE", HISTORY_KEY, "-", "+", "COUNT", 1)
            told = self._client.execute_command("XINFO", "STREAM", HISTORY_KEY) if oldest else []
            kept = self._client.execute_command("XRANGE", HISTORY_KEY, since, since)
        self._reach_was_checked = True
        facts = dict(zip(told[::2], told[1::2], strict=False))
        n_dropped = facts.get(b"entries-added", 0) - facts.get(b"length", 0)  # since Redis 7
        if kept or n_dropped <= 0 or _order(oldest[0][0]) <= _order(since.encode()):
            return ""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(_order(oldest[0][0])[0] / 1000))
        return (
            f"the history of scans begins at {moment}: scans between the place that was reached "
            "before and then are not heard of. Look with `tango-saver save` for those in Redis"
        )

    def _entries(self, since: str, patience_s: float) -> Sequence[RawEntry]:
        # Again and again: a Redis that was emptied is not BLISS's until Beacon prepared it.
        if time.monotonic() >= self._check_at:
            check_protocol(self._client)
            self._check_at = time.monotonic() + _CHECK_PERIOD_S
        try:
            with redis_errors():
                reply = self._streams.read(
                    [(HISTORY_KEY, since)], _MOST_SCANS, int(patience_s * 1000)
                )
        except SourceError as error:
            if isinstance(error.__cause__, redis.ResponseError) and "WRONGTYPE" in error.fact:
                raise ProtocolVersionError(
                    f"{HISTORY_KEY} is no stream", advice="Check that the Redis is BLISS's"
                ) from error
            raise
        return reply.get(HISTORY_KEY, ())

    def _announce(
        self, entries: Sequence[RawEntry]
    ) -> tuple[Sequence[ScanAnnouncement], str, Sequence[str]]:
        scans: list[ScanAnnouncement] = []
        warnings: list[str] = []
        n_deleted = 0
        keys = [self._key(entry) for entry in entries]
        for (entry_id, _), key, (ttl, answer) in zip(
            entries, keys, self._documents(keys), strict=True
        ):
            if is_deleted(ttl) or answer is None:
                n_deleted += 1
                continue
            try:
                if isinstance(answer, Exception):
                    raise answer
                scans.append(_announcement(entry_id.decode(), key, answer))
            except (msgspec.MsgspecError, UnicodeError, redis.ResponseError) as error:
                warnings.append(f"scan {key}: its document cannot be read ({error})")
        if n_deleted:
            warnings.append(f"{n_deleted} announced scans are not in Redis any more")
        return scans, entries[-1][0].decode(), warnings

    @staticmethod
    def _key(entry: RawEntry) -> str:
        _, fields = entry
        value = dict(zip(fields[::2], fields[1::2], strict=False)).get(b"key", b"")
        return bytes(value).decode(errors="replace")

    def _documents(self, keys: Sequence[str]) -> list[tuple[int, Any]]:
        """TTL and core fields of each document; an error of Redis in place of an answer."""
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.execute_command("TTL", key)
                pipeline.execute_command("JSON.GET", key, *_PATHS)
            replies = pipeline.execute(raise_on_error=False)
            for reply in replies:
                if isinstance(reply, redis.ConnectionError | redis.TimeoutError):
                    raise reply
        return list(zip(replies[::2], replies[1::2], strict=True))
