"""Hears of the scans that BLISS 1 creates, wherever in the tree of nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import redis

from tango_saver.errors import RedisUnreachableError
from tango_saver.model.scan import ScanAnnouncement, ScanDescription, ScanKey
from tango_saver.source.base import EntryRange
from tango_saver.source.bliss1.description import describe_scan
from tango_saver.source.bliss1.names import scan_name, scan_number, session_of
from tango_saver.source.bliss1.tree import (
    CHILDREN,
    INFO,
    Node,
    decode_fields,
    new_nodes,
    read_nodes,
)
from tango_saver.source.bliss1.writing import target_of
from tango_saver.source.moment import entry_range
from tango_saver.source.wire import RawEntry, StreamConnection, connect, redis_errors

_MOST_ENTRIES = 500
"""Of one stream in one call."""
_SCAN_COUNT = 2000
_SESSIONS_EVERY_S = (0.3, 2.0)
"""Shortest and longest pause between two looks for new sessions."""
_SESSIONS_SHARE = 10
"""So many times what a look takes is the pause, within these limits."""
_MOST_READS = 100
"""Before scans are told although more are there."""
_SESSION_FIELDS = ("session_name", "data_writer", "save", "filename", "scan_nb")


@dataclass(slots=True)
class _Found:
    """What one round of reading gave."""

    entry: str
    node: Node


class Bliss1Source:
    """A ``ScanSource``; ``new_scans`` and ``describe`` may be called from different threads.

    A position in the history is an id of the clock of Redis. The ids of all children streams
    come from that one clock: what is behind it in any stream is new. With all sessions no
    position is told that lies behind the last look for new ones: theirs may hold scans before
    it. So a source that begins there may announce a few scans that another one has announced.

    Args:
        url: of the Redis that BLISS publishes its data into.
        timeout_s: longest wait for one answer of Redis.
        session: name of the session; ``*`` for all that there are or will be.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """

    def __init__(self, url: str, timeout_s: float = 5.0, session: str = "*") -> None:
        self._client = connect(url, timeout_s)
        self._streams = StreamConnection(self._client)
        self._timeout_s = timeout_s
        self._session = session
        self._closed = threading.Event()
        self._cursors: dict[str, str] = {}
        """Stream of children -> id to read behind."""
        self._position = ""
        """Where the caller goes on from."""
        self._heard = ""
        """Up to here the streams that are known were read."""
        self._ahead: set[tuple[str, str]] = set()
        """Keys and entries of scans that were announced although the position is before them."""
        self._sessions_after = 0.0
        self._looked_at = ""
        """Place in the history: every session with a scan up to it is known."""

    def last_entry(self) -> str:
        """Where the history ends: now, by the clock of Redis."""
        last = now = int(self._server_time() * 1000)
        while now == last:  # what is created within this very millisecond belongs before it
            now = int(self._server_time() * 1000)
        return f"{last}-{2**63}"

    def entry_at(self, moment: float) -> EntryRange:
        """Where the history stood at a moment, see ``ScanSource.entry_at``."""
        self._sessions_after = 0.0  # somebody wants all that there was then
        return entry_range(self._client, moment)

    def new_scans(
        self, since: str, timeout_s: float
    ) -> tuple[Sequence[ScanAnnouncement], str, Sequence[str]]:
        """The scans behind ``since``, see ``ScanSource.new_scans``; nothing once closed."""
        deadline = time.monotonic() + timeout_s
        while not self._closed.is_set():
            patience_s = min(max(deadline - time.monotonic(), 0.0), self._timeout_s / 2)
            try:
                if since != self._position:
                    self._begin(since)
                self._look_for_sessions()
                scans, self._heard = self._round(self._heard, patience_s)
                reached = self._certain(since)
                if scans or reached != since:
                    self._position = reached
                    return self._announce(self._not_announced(scans, reached), reached)
            except RedisUnreachableError:
                if self._closed.is_set():
                    break
                # Streams may be gone when it is back: find them anew.
                self._position = ""
                self._client.connection_pool.disconnect()
                raise
            if time.monotonic() >= deadline:
                break
        return (), since, ()

    def describe(self, key: ScanKey) -> ScanDescription:
        """The scan as it is now, see ``ScanSource.describe``."""
        return describe_scan(self._client, key).description

    def close(self) -> None:
        """Close the connections; a ``new_scans`` that waits returns at once."""
        self._closed.set()
        self._client.connection_pool.disconnect()

    def _server_time(self) -> float:
        with redis_errors():
            seconds, microseconds = self._client.time()
        return float(seconds) + float(microseconds) / 1e6

    # -- finding the streams

    def _begin(self, since: str) -> None:
        """Find every stream of children that is there, at any depth."""
        self._cursors = {}
        self._position = ""
        sessions = self._sessions() if self._session == "*" else [self._session]
        self._follow(sessions, since)
        self._position = self._heard = since

    def _certain(self, since: str) -> str:
        """The place, not before this one, up to which no scan can be missing."""
        if self._session != "*":
            return self._heard
        return max(since, min(self._heard, self._looked_at, key=_order), key=_order)

    def _not_announced(self, found: Sequence[_Found], reached: str) -> list[_Found]:
        """Those that were not announced when they were read before."""
        new = [item for item in found if (item.node.key, item.entry) not in self._ahead]
        self._ahead.update((item.node.key, item.entry) for item in new)
        place = _order(reached)
        self._ahead = {item for item in self._ahead if _order(item[1]) > place}
        return new

    def _look_for_sessions(self) -> None:
        """Sessions that have come since the last look, now and then; all of them is new."""
        if self._session != "*" or time.monotonic() < self._sessions_after:
            return
        for name in self._sessions():
            self._cursors.setdefault(name + CHILDREN, "0-0")

    def _sessions(self) -> list[str]:
        """All sessions that there are."""
        started = time.monotonic()
        looked_at = f"{max(int(self._server_time() * 1000) - 1, 0)}-0"
        found: set[str] = set()
        with redis_errors():
            for key in self._client.scan_iter(f"*{CHILDREN}", count=_SCAN_COUNT, _type="stream"):
                name = key.decode(errors="replace").removesuffix(CHILDREN)
                if ":" not in name:
                    found.add(name)
        took_s = time.monotonic() - started
        pause_s = min(max(_SESSIONS_EVERY_S[0], _SESSIONS_SHARE * took_s), _SESSIONS_EVERY_S[1])
        self._sessions_after = time.monotonic() + pause_s
        self._looked_at = looked_at
        return sorted(found)

    def _follow(self, keys: Iterable[str], since: str) -> None:
        """Read the children of these nodes behind ``since``, and of the folders below them."""
        level = list(keys)
        while level:
            for key in level:
                self._cursors.setdefault(key + CHILDREN, since)
            level = [node.key for node in self._folders_before(level, since)]

    def _folders_before(self, keys: Sequence[str], since: str) -> list[Node]:
        """Folders below these nodes that were announced up to ``since``."""
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.execute_command("XRANGE", key + CHILDREN, "-", since)
            replies = pipeline.execute(raise_on_error=False)
            for reply in replies:
                if isinstance(reply, redis.ConnectionError | redis.TimeoutError):
                    raise reply
        names = [
            name
            for reply in replies
            if not isinstance(reply, Exception)
            for name in new_nodes(reply)
            if name + CHILDREN not in self._cursors
        ]
        nodes = read_nodes(self._client, list(dict.fromkeys(names)))
        return [node for node in nodes if node is not None and not node.is_scan]

    # -- hearing

    def _round(self, since: str, patience_s: float) -> tuple[list[_Found], str]:
        """Scans behind the cursors, and the position after them."""
        if self._session == "*":
            patience_s = min(patience_s, _SESSIONS_EVERY_S[0])
        if not self._cursors:
            self._closed.wait(patience_s)
            return [], since
        found: list[_Found] = []
        reached = since
        # Until nothing more is there: only then everything up to ``reached`` has been heard, for
        # streams that are read one after the other may have grown in the meantime.
        for _ in range(_MOST_READS):
            reply = self._read(list(self._cursors.items()), patience_s)
            if not reply:
                return found, reached
            patience_s = 0.0
            while reply:
                reached = max([reached, *_last_entries(reply)], key=_order)
                scans, folders = self._sorted(reply)
                found += scans
                # All that is in a folder that has just been made is new, whatever the clock did.
                reply = self._read([(folder, "0-0") for folder in folders], 0.0)
        return found, since

    def _sorted(self, reply: Mapping[str, Sequence[RawEntry]]) -> tuple[list[_Found], list[str]]:
        """The scans that entries announce, and the streams of folders that are not read yet."""
        scans: list[_Found] = []
        folders: dict[str, None] = {}
        for item in self._new(reply):
            if item.node.is_scan:
                scans.append(item)
            elif item.node.key + CHILDREN not in self._cursors:
                folders[item.node.key + CHILDREN] = None
        return scans, list(folders)

    def _read(
        self, cursors: Sequence[tuple[str, str]], patience_s: float
    ) -> dict[str, Sequence[RawEntry]]:
        """Entries behind the cursors, which are moved on."""
        if not cursors:
            return {}
        with redis_errors():
            reply = self._streams.read(cursors, _MOST_ENTRIES, int(patience_s * 1000))
        self._cursors.update(cursors)
        for stream, entries in reply.items():
            self._cursors[stream] = entries[-1][0].decode()
        return reply

    def _new(self, reply: Mapping[str, Sequence[RawEntry]]) -> Iterator[_Found]:
        """The nodes that entries announce, if they are there."""
        entry_of = {
            name: entry[0].decode()
            for entries in reply.values()
            for entry in entries
            for name in new_nodes([entry])
        }
        for node in read_nodes(self._client, list(entry_of)):
            if node is not None:
                yield _Found(entry_of[node.key], node)

    def _announce(
        self, found: Sequence[_Found], reached: str
    ) -> tuple[Sequence[ScanAnnouncement], str, Sequence[str]]:
        scans: list[ScanAnnouncement] = []
        warnings: list[str] = []
        for item, fields in zip(found, self._fields(found), strict=True):
            if not item.node.is_readable:
                warnings.append(
                    f"scan {item.node.key}: its node has version {item.node.version!r},"
                    " this saver reads version 1"
                )
                continue
            scans.append(_announcement(item, fields))
        scans.sort(key=lambda scan: _order(scan.entry))
        return scans, reached, warnings

    def _fields(self, found: Sequence[_Found]) -> list[dict[str, bytes]]:
        with redis_errors():
            pipeline = self._client.pipeline(transaction=False)
            for item in found:
                pipeline.execute_command("HMGET", item.node.key + INFO, *_SESSION_FIELDS)
            replies = pipeline.execute()
        return [
            {
                name: value
                for name, value in zip(_SESSION_FIELDS, reply, strict=True)
                if value is not None
            }
            for reply in replies
        ]


def _announcement(item: _Found, fields: dict[str, bytes]) -> ScanAnnouncement:
    key = item.node.key
    values, _ = decode_fields(fields)
    writer, session = values.get("data_writer"), values.get("session_name")
    number = values.get("scan_nb")
    writer = writer if isinstance(writer, str) else ""
    target = target_of(values.get("filename"), writer)
    return ScanAnnouncement(
        key=ScanKey(key),
        entry=item.entry,
        session=session if isinstance(session, str) and session else session_of(key),
        name=scan_name(key),
        number=number if type(number) is int and number >= 0 else scan_number(key),
        saved=bool(target) and values.get("save") is not False,
        writer=writer,
        target=target,
    )


def _last_entries(reply: Mapping[str, Sequence[RawEntry]]) -> Iterator[str]:
    for entries in reply.values():
        yield entries[-1][0].decode()


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)
