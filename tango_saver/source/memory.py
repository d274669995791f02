"""How full Redis is: what decides when it drops points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tango_saver.errors import SourceError
from tango_saver.source.wire import connect, redis_errors


@dataclass(frozen=True, slots=True)
class RedisMemory:
    """Memory of a Redis server, in bytes."""

    used: int
    limit: int
    """``maxmemory``; 0 if there is no limit, and so no trimming."""


class MemoryProbe:
    """Asks Redis for its memory, with a connection of its own.

    Args:
        url: of Redis.
        timeout_s: longest wait for one answer.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._client = connect(url, timeout_s)

    def look(self) -> RedisMemory:
        """The memory now.

        Raises:
            RedisUnreachableError: Redis does not answer.
            SourceError: it does not tell.
        """
        try:
            with redis_errors():
                found: Any = self._client.info("memory")
            return RedisMemory(int(found["used_memory"]), int(found["maxmemory"]))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise SourceError(f"Redis does not tell how much memory it has ({error})") from error

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._client.connection_pool.disconnect()
