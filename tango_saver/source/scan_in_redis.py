"""The keys of one scan in Redis: its streams, and whether it is still there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import redis

from tango_saver.errors import ScanNotFoundError, SourceError
from tango_saver.model.scan import ScanKey
from tango_saver.source.wire import (
    RawEntry,
    StreamConnection,
    connect,
    is_deleted,
    redis_errors,
    time_to_live,
)

_CHECK_PERIOD_S = 2.0
"""A scan that says nothing may have been deleted: XREAD would wait for ever."""


class NoStreamError(SourceError):
    """One of the keys that were asked for is no stream; not raised beyond the source."""


class ScanInRedis:
    """One scan, over a connection of its own.

    Every method raises RedisUnreachableError when Redis does not answer, and may be called again.

    Args:
        url: of the Redis that the scan is in.
        key: the scan.
        timeout_s: longest wait for one answer of Redis.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """

    def __init__(self, url: str, key: ScanKey, timeout_s: float) -> None:
        self.key = key
        self.client = connect(url, timeout_s)
        self._streams = StreamConnection(self.client)
        self._longest_wait_s = min(timeout_s / 2, _CHECK_PERIOD_S)
        self._next_check = 0.0

    def read_streams(
        self, cursors: Sequence[tuple[str, str]], count: int, patience_s: float
    ) -> dict[str, Sequence[RawEntry]]:
        """The entries behind each cursor.

        Args:
            cursors: key of a stream and the id to read behind.
            count: most entries per stream.
            patience_s: longest wait for the first one, in seconds; cut to half of what the
                connection waits.

        Returns:
            entries by key of the stream, without those that have none.

        Raises:
            NoStreamError: one of the keys is no stream.
        """
        if not cursors:
            return {}
        wait_ms = int(min(patience_s, self._longest_wait_s) * 1000)
        try:
            with redis_errors(self.key):
                return self._streams.read(cursors, count, wait_ms)
        except SourceError as error:
            self._next_check = 0.0
            if isinstance(error.__cause__, redis.ResponseError) and "WRONGTYPE" in error.fact:
                raise NoStreamError(error.fact, scan=self.key) from error
            raise

    def newest_entries(self, places: Sequence[tuple[str, str]]) -> list[Sequence[RawEntry] | None]:
        """The newest entry of each stream up to an id, alone or none; None if it is no stream.

        Args:
            places: key of a stream and the largest id.
        """
        if not places:
            return []
        with redis_errors(self.key):
            pipeline = self.client.pipeline(transaction=False)
            for stream, last in places:
                pipeline.execute_command("XREVRANGE", stream, last, "-", "COUNT", 1)
            replies = pipeline.execute(raise_on_error=False)
            for reply in replies:
                if isinstance(reply, Exception) and not isinstance(reply, redis.ResponseError):
                    raise reply
        return [None if isinstance(reply, Exception) else reply for reply in replies]

    def kinds(self, keys: Sequence[str]) -> list[bytes]:
        """What each key holds: ``stream``, ``none`` or another type's name."""
        return self._pipelined("TYPE", keys)

    def present(self, keys: Sequence[str]) -> list[bool]:
        """Whether each key is there."""
        return [bool(answer) for answer in self._pipelined("EXISTS", keys)]

    def check_alive(self) -> None:
        """Make sure, now and then, that a silent scan still exists.

        Raises:
            ScanNotFoundError: it does not.
        """
        if time.monotonic() < self._next_check:
            return
        if is_deleted(time_to_live(self.client, self.key)):
            raise ScanNotFoundError(
                "the scan vanished from Redis before it was closed",
                scan=self.key,
                advice="It was deleted, or Redis was restarted without its data",
            )
        self._next_check = time.monotonic() + _CHECK_PERIOD_S

    def disconnect(self) -> None:
        """Give the connection back; the next question opens one anew. Idempotent."""
        self.client.connection_pool.disconnect()

    def _pipelined(self, command: str, keys: Sequence[str]) -> list[Any]:
        with redis_errors(self.key):
            pipeline = self.client.pipeline(transaction=False)
            for key in keys:
                pipeline.execute_command(command, key)
            return list(pipeline.execute())
