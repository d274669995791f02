"""Moments of ours as places in the streams of Redis."""

from __future__ import annotations

import time

import redis

from tango_saver.source.base import EntryRange
from tango_saver.source.wire import redis_errors


def entry_range(client: redis.Redis, moment: float) -> EntryRange:
    """Where the streams of Redis stood at a moment of ``time.monotonic()``.

    Raises:
        RedisUnreachableError: Redis does not answer.
    """
    asked = time.monotonic()
    with redis_errors():
        seconds, microseconds = client.time()
    answered = time.monotonic()
    now_ms = seconds * 1000 + microseconds / 1000
    # Redis looked at its clock at some time between the question and the answer.
    earliest_ms = int(now_ms - (answered - moment) * 1000) - 1
    latest_ms = int(now_ms - (asked - moment) * 1000) + 1
    return EntryRange(f"{max(earliest_ms, 0)}-0", f"{max(latest_ms, 0)}-0")
