"""Which generation of BLISS publishes into a Redis."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import redis

from tango_saver.errors import ProtocolVersionError
from tango_saver.model.scan import ScanAnnouncement, ScanDescription, ScanKey
from tango_saver.source.base import EntryRange, ScanSource
from tango_saver.source.bliss1.history import Bliss1Source
from tango_saver.source.bliss1.tree import CHILDREN, read_nodes
from tango_saver.source.bliss2.history import Bliss2Source
from tango_saver.source.bliss2.wire import PROTOCOL_KEY
from tango_saver.source.wire import connect, redis_errors

AUTO = "auto"
GENERATIONS = ("1", "2", AUTO)
_PREFIX = "esrf:"
"""Of every key of BLISS >= 2."""
_SCAN_COUNT = 2000


def is_bliss1_key(key: str) -> bool:
    """Whether a scan of this key is one of BLISS 1."""
    return not key.startswith(_PREFIX)


def find_generation(client: redis.Redis) -> str:
    """1 or 2.

    BLISS >= 2 marks its database; of BLISS 1 there are nodes once a session has made a scan.

    Raises:
        ProtocolVersionError: neither has used the database so far.
        RedisUnreachableError: Redis does not answer.
    """
    with redis_errors():
        if client.execute_command("EXISTS", PROTOCOL_KEY):
            return "2"
        for key in client.scan_iter(f"*{CHILDREN}", count=_SCAN_COUNT, _type="stream"):
            name = key.decode(errors="replace").removesuffix(CHILDREN)
            (node,) = read_nodes(client, [name]) if ":" not in name else (None,)
            if node is not None and node.is_readable:
                return "1"
    raise ProtocolVersionError(
        f"the database has no {PROTOCOL_KEY} and no session of BLISS 1: "
        "BLISS has not used it so far",
        advice="Say which BLISS it is (property bliss), restart Beacon, or check the Redis URL",
    )


class FoundOutSource:
    """A ``ScanSource`` of the generation that is found out once Redis tells.

    Args:
        url: of the Redis that BLISS publishes into.
        timeout_s: longest wait for one answer of Redis.
        session: name of the session; ``*`` for all.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """

    def __init__(self, url: str, timeout_s: float, session: str) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._session = session
        self._client = connect(url, timeout_s)
        self._lock = threading.Lock()
        self._closed = False
        self._found: ScanSource | None = None

    def last_entry(self) -> str:
        """See ``ScanSource.last_entry``."""
        return self._source().last_entry()

    def entry_at(self, moment: float) -> EntryRange:
        """See ``ScanSource.entry_at``."""
        return self._source().entry_at(moment)

    def new_scans(
        self, since: str, timeout_s: float
    ) -> tuple[Sequence[ScanAnnouncement], str, Sequence[str]]:
        """See ``ScanSource.new_scans``."""
        return self._source().new_scans(since, timeout_s)

    def describe(self, key: ScanKey) -> ScanDescription:
        """See ``ScanSource.describe``; the key tells the generation."""
        if self._found is None:
            generation = "1" if is_bliss1_key(key) else "2"
            source = self._of(generation)
            try:
                return source.describe(key)
            finally:
                source.close()
        return self._found.describe(key)

    def close(self) -> None:
        """Close the connections; idempotent."""
        with self._lock:
            self._closed = True
            self._client.connection_pool.disconnect()
            if self._found is not None:
                self._found.close()

    def _source(self) -> ScanSource:
        if self._found is None:
            found = self._of(find_generation(self._client))
            with self._lock:
                self._found = self._found or found
                if self._closed:
                    self._found.close()
        return self._found

    def _of(self, generation: str) -> ScanSource:
        if generation == "1":
            return Bliss1Source(self._url, self._timeout_s, self._session)
        return Bliss2Source(self._url, self._timeout_s)
