"""The connection to Redis: raw replies, errors of ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from tango_saver.errors import (
    ConfigurationError,
    RedisUnreachableError,
    ReplyTooLargeError,
    SourceError,
)
from tango_saver.model.scan import ScanKey
from tango_saver.source.replies import FIRST_READ, LargeReplyError, bounded_parser

DELETED_TTL_S = 10
"""A deletion sets this time to live; a key with so little left counts as deleted."""

# Unless told not to, redis-py looks up its own version and tells it to Redis, in two
# questions, for each connection: longer than it takes to save a short scan's points.
_UNINTRODUCED: dict[str, None] = (
    {"driver_info": None}
    if importlib.util.find_spec("redis.driver_info")
    else {"lib_name": None, "lib_version": None}
)

RawEntry = Sequence[Any]
"""``[id, [field, value, ...]]``, all bytes."""


def _raw(reply: Any, **_options: Any) -> Any:
    return reply


def connect(url: str, timeout_s: float) -> redis.Redis:
    """A client that gives replies as Redis sent them and never retries by itself.

    Args:
        url: ``redis://host:port/db``, ``rediss://`` or ``unix://``.
        timeout_s: longest wait for one answer. Blocking commands must wait less.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """
    try:
        options = parse_url(url)
    except ValueError as error:
        raise ConfigurationError(
            f"{url!r} is no URL of a Redis server", advice="Write it as redis://host:port"
        ) from error
    options.update(
        protocol=2,  # the shape of a reply shall not depend on the version of the client
        decode_responses=False,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_read_size=FIRST_READ,
        socket_keepalive=True,
        parser_class=bounded_parser(timeout_s),
        # Whoever calls knows how to go on; a hidden retry would only delay that.
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        **_UNINTRODUCED,
    )
    client = redis.Redis(connection_pool=redis.ConnectionPool(**options))
    for command in ("XREAD", "XREVRANGE", "TYPE"):
        client.set_response_callback(command, _raw)
    return client


@contextmanager
def redis_errors(scan: str = "") -> Iterator[None]:
    """Turn redis-py's errors into ours.

    Raises:
        RedisUnreachableError: no connection, no answer in time, or still loading.
        ReplyTooLargeError: an answer was broken off that was too large, or came too slowly.
        SourceError: Redis refused the command.
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        raise RedisUnreachableError(
            f"Redis does not answer ({error})",
            scan=scan,
            advice="Check that BLISS's Redis runs and that its URL is right",
        ) from error
    except LargeReplyError as error:
        raise ReplyTooLargeError(
            f"Redis answers with more than there can be ({error})",
            scan=scan,
            advice="Check the Redis URL, and the network on the way",
        ) from error
    except redis.InvalidResponse as error:
        raise nonsense(scan, found=str(error)) from error
    except redis.RedisError as error:
        raise SourceError(f"Redis refused a command ({error})", scan=scan) from error


def nonsense(
    scan: str = "", client: redis.Redis | None = None, found: str = ""
) -> RedisUnreachableError:
    """The error for an answer that no Redis gives to such a question.

    Args:
        scan: key of the scan that was asked for.
        client: parted from whoever answers: what else he has sent is no answer either.
        found: what is wrong with the answer.
    """
    if client is not None:
        client.connection_pool.disconnect()
    reason = f" ({found})" if found else ""
    return RedisUnreachableError(
        f"what answers is no Redis, or something on the way changes its answers{reason}",
        scan=scan,
        advice="Check the Redis URL, and what else listens there",
    )


def time_to_live(client: redis.Redis, key: ScanKey) -> int:
    """The answer to TTL, in seconds: -1 for a key that stays, -2 for none.

    Raises:
        RedisUnreachableError: Redis does not answer.
    """
    with redis_errors(key):
        ttl = client.execute_command("TTL", key)
    if not is_ttl(ttl):
        raise nonsense(key, client)
    return int(ttl)


def is_ttl(reply: Any) -> bool:
    """Whether this is an answer to TTL at all."""
    return type(reply) is int and reply >= -2  # noqa: PLR2004 - the least that Redis says


def is_deleted(ttl: int) -> bool:
    """Whether a key with this answer to TTL is missing or about to expire."""
    return ttl != -1 and ttl <= DELETED_TTL_S


class StreamConnection:
    """The connection that streams are read over; for one thread at a time.

    It is kept from one question to the next. redis-py would look up, check and account for
    one each time, which takes longer than the question.

    Args:
        client: from ``connect``; whoever disconnects its pool disconnects this, too.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._connection: redis.Connection | None = None

    def read(
        self, cursors: Sequence[tuple[str, str]], count: int, block_ms: int
    ) -> dict[str, Sequence[RawEntry]]:
        """XREAD: the entries behind each cursor.

        Args:
            cursors: key of a stream and the id to read behind.
            count: most entries per stream.
            block_ms: longest wait for the first one; 0 does not wait.

        Returns:
            entries by key of the stream, without those that have none.

        Raises:
            RedisUnreachableError: the answer is none to this question.
        """
        wait = ("BLOCK", block_ms) if block_ms > 0 else ()
        keys = [key for key, _ in cursors]
        reply = self._ask(
            "XREAD", "COUNT", count, *wait, "STREAMS", *keys, *(last for _, last in cursors)
        )
        if not reply:
            return {}
        # RESP2 answers with pairs; a proxy that insists on RESP3 answers with a map.
        pairs = reply.items() if isinstance(reply, dict) else reply
        try:
            found = {key.decode(): entries for key, entries in pairs}
            is_answer = found.keys() <= set(keys) and all(map(_are_entries, found.values()))
        except (AttributeError, TypeError, ValueError):
            is_answer = False
        if not is_answer:
            raise nonsense(client=self._client)
        return found

    def _ask(self, *command: str | int) -> Any:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._client.connection_pool.get_connection()
        connection.send_command(*command)
        return connection.read_response()


def _are_entries(entries: Any) -> bool:
    """Judged by the first and the last one: there may be many."""
    return bool(entries) and all(
        len(entry) == 2 and isinstance(entry[0], bytes)  # noqa: PLR2004 - id and fields
        for entry in (entries[0], entries[-1])
    )
