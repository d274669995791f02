"""The node tree of BLISS 1 as the BLISS documentation describes it: nodes, walks, events.

    session = get_session_node("redis://localhost:6380/1", "my_session")
    for event in session.walk_on_new_events(include_filter="scan"):
        if event.type is EventType.NEW_NODE:
            for inner in event.node.walk_events():
                ...

The names are those of the documentation, the behaviour is ours where theirs loses scans or
kills the listener: "new" is judged by the clock of Redis, a session may be absent when the
walk begins, groups of scans count as scans, END_SCAN comes after every point of its scan, and
one scan that cannot be read costs nobody else's walk. A walk blocks its greenlet only.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import redis

from tango_saver.errors import ScanNotFoundError
from tango_saver.source.bliss1.classes import Value
from tango_saver.source.bliss1.pickled import decode
from tango_saver.source.bliss1.tree import (
    CHILDREN,
    DATA,
    END,
    PREPARED,
    Node,
    children_of,
    decode_fields,
    event_fields,
    new_nodes,
    read_fields,
    read_nodes,
)
from tango_saver.source.wire import RawEntry, StreamConnection, connect, redis_errors

_WAIT_S = 1.0
_MOST_ENTRIES = 200
_WITH_DATA = frozenset({"channel", "lima", "node_ref_channel"})
_SCAN_KINDS: Mapping[str, frozenset[str]] = {"scan": frozenset({"scan", "scan_group"})}


class EventType(Enum):
    """What a walk tells."""

    NEW_NODE = "NEW_NODE"
    """A node was created; everything of it can be read."""
    PREPARED_SCAN = "PREPARED_SCAN"
    """All channels of a scan are known."""
    NEW_DATA = "NEW_DATA"
    """Points, or a status of a camera."""
    END_SCAN = "END_SCAN"
    """A scan is over, and every point of it was told."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a walk."""

    type: EventType
    node: DataNode
    """The new node, the scan, or the channel."""
    first_index: int = 0
    """Of NEW_DATA: index of the first point."""
    data: Value = None
    """Of NEW_DATA the points or the status, decoded: ``(n_points, *shape)``, or one point
    without the leading axis; of END_SCAN the text of the exception, empty for a good scan."""
    n_points: int = 0
    """Of NEW_DATA of a channel."""


@dataclass(frozen=True, slots=True)
class DataNode:
    """One node of the tree; read anew at every call, nothing is kept."""

    url: str
    """Of the Redis that it is in."""
    db_name: str
    """Full name."""
    type: str
    """``container``, ``proposal``, ``dataset``, ``scan``, ``scan_group``, ``channel``,
    ``lima``, ``node_ref_channel``, or ``None`` for a device."""
    name: str
    timeout_s: float = field(default=5.0, compare=False)
    """Longest wait for one answer of Redis."""

    @property
    def info(self) -> Mapping[str, Value]:
        """The node's own fields, as far as they can be decoded.

        Raises:
            RedisUnreachableError: Redis does not answer.
        """
        with _client(self) as client:
            (fields,) = read_fields(client, [self.db_name])
        return decode_fields(fields)[0]

    def children(self) -> list[DataNode]:
        """The nodes directly below, in the order of their creation.

        Raises:
            RedisUnreachableError: Redis does not answer.
        """
        with _client(self) as client:
            (names,) = children_of(client, [self.db_name])
            found = read_nodes(client, names)
        return [_data_node(self, node) for node in found if node is not None]

    def walk_events(
        self,
        include_filter: str | Collection[str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[Event]:
        """All events at and below this node, from the first one there is.

        A walk over one scan ends with its END_SCAN; any other goes on until ``timeout_s``
        without an event have passed.

        Args:
            include_filter: types of nodes whose events are told, all by default; ``scan`` has
                the groups of scans among them.
            timeout_s: longest silence; None waits for ever.

        Raises:
            RedisUnreachableError: Redis does not answer; walk again.
        """
        return _Walk(self, _kinds(include_filter), "0-0", timeout_s).events()

    def walk_on_new_events(
        self,
        include_filter: str | Collection[str] | None = None,
        timeout_s: float | None = None,
        *,
        from_next: bool = True,
        since: str = "",
    ) -> Iterator[Event]:
        """The events of nodes that are created from now on, or behind a place in the history.

        Args:
            include_filter: see ``walk_events``.
            timeout_s: longest silence; None waits for ever.
            from_next: as in the documentation: whether to leave out the scans there are.
            since: place in the history, an id of the clock of Redis; takes the place of now.

        Raises:
            RedisUnreachableError: Redis does not answer; walk again ``since`` the last place.
        """
        with _client(self) as client, redis_errors():
            seconds, microseconds = client.time()
        now = f"{int(seconds * 1000 + microseconds / 1000)}-0"
        begin = since or (now if from_next else "0-0")
        return _Walk(self, _kinds(include_filter), begin, timeout_s).events()


def get_session_node(url: str, session: str, timeout_s: float = 5.0) -> DataNode:
    """The root of a session's tree; the session need not be there yet.

    Args:
        url: of the Redis that BLISS publishes its data into, ``redis://host:6380/1``.
        session: its name.
        timeout_s: longest wait for one answer of Redis.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """
    connect(url, timeout_s).close()
    return DataNode(url, session, "container", session, timeout_s)


def get_node(url: str, db_name: str, timeout_s: float = 5.0) -> DataNode:
    """Any node by its full name.

    Raises:
        ScanNotFoundError: there is none.
        RedisUnreachableError: Redis does not answer.
    """
    root = DataNode(url, db_name, "", "", timeout_s)
    with _client(root) as client:
        (node,) = read_nodes(client, [db_name])
    if node is None:
        raise ScanNotFoundError("there is no such node", scan=db_name)
    return _data_node(root, node)


def _client(node: DataNode) -> redis.Redis:
    return connect(node.url, node.timeout_s)


def _data_node(origin: DataNode, node: Node) -> DataNode:
    return DataNode(origin.url, node.key, node.kind, node.name, origin.timeout_s)


def _kinds(include_filter: str | Collection[str] | None) -> frozenset[str] | None:
    if include_filter is None:
        return None
    names = [include_filter] if isinstance(include_filter, str) else include_filter
    return frozenset().union(*(_SCAN_KINDS.get(name, frozenset({name})) for name in names))


@dataclass(slots=True)
class _Stream:
    node: DataNode
    cursor: str


class _Walk:
    """One walk; streams are found as their nodes are announced."""

    def __init__(
        self,
        root: DataNode,
        kinds: frozenset[str] | None,
        begin: str,
        timeout_s: float | None,
    ) -> None:
        self._root = root
        self._kinds = kinds
        self._begin = begin
        self._timeout_s = timeout_s
        self._client = _client(root)
        self._connection = StreamConnection(self._client)
        self._streams: dict[str, _Stream] = {}
        self._ending: list[Event] = []
        """END_SCAN events that wait until nothing else is there."""
        self._is_over = False

    def events(self) -> Iterator[Event]:
        """Walk until the end."""
        try:
            self._subscribe(self._root, self._begin)
            self._find_folders()
            last = time.monotonic()
            while not self._is_over:
                told = False
                for event in self._more(0.0 if self._ending else self._patience(last)):
                    told = True
                    yield event
                if told:
                    last = time.monotonic()
                elif self._timeout_s is not None and time.monotonic() - last >= self._timeout_s:
                    return
        finally:
            self._client.close()

    def _patience(self, last: float) -> float:
        wait_s = min(_WAIT_S, self._root.timeout_s / 2)
        if self._timeout_s is None:
            return wait_s
        return max(min(wait_s, last + self._timeout_s - time.monotonic()), 0.001)

    def _find_folders(self) -> None:
        """Folders that were there before the walk; what is new in them is told, they are not."""
        level = [self._root]
        while level and self._begin != "0-0":
            found = [child for node in level for child in node.children()]
            level = [node for node in found if node.type not in ("scan", "scan_group")]
            for node in level:
                self._subscribe(node, self._begin)

    def _subscribe(self, node: DataNode, begin: str) -> None:
        def listen(suffix: str, cursor: str) -> None:
            self._streams.setdefault(node.db_name + suffix, _Stream(node, cursor))

        if node.type in _WITH_DATA:
            if self._wants(node):
                listen(DATA, "0-0")
            return
        below_scan_only = self._kinds is not None and not self._kinds - {"scan", "scan_group"}
        if not (node.type in ("scan", "scan_group", "None") and below_scan_only):
            listen(CHILDREN, begin)
        if node.type in ("scan", "scan_group"):
            listen(PREPARED, "0-0")
            listen(END, "0-0")

    def _wants(self, node: DataNode) -> bool:
        return self._kinds is None or node.type in self._kinds

    def _more(self, patience_s: float) -> Iterator[Event]:
        cursors = [(key, stream.cursor) for key, stream in self._streams.items()]
        with redis_errors():
            reply = self._connection.read(cursors, _MOST_ENTRIES, max(int(patience_s * 1000), 0))
        if not reply and self._ending:
            yield from self._end()
            return
        # New nodes first, so that their streams are read before anything is called over.
        for key in sorted(reply, key=_rank):
            stream = self._streams[key]
            stream.cursor = reply[key][-1][0].decode()
            yield from self._told(key, stream.node, reply[key])

    def _end(self) -> Iterator[Event]:
        ended, self._ending = self._ending, []
        for event in ended:
            name = event.node.db_name
            for key in [key for key in self._streams if _is_below(key, name)]:
                del self._streams[key]
            self._is_over |= name == self._root.db_name
            yield event

    def _told(self, key: str, node: DataNode, entries: Sequence[RawEntry]) -> Iterator[Event]:
        if key.endswith(CHILDREN):
            names = list(dict.fromkeys(new_nodes(entries)))
            for found in read_nodes(self._client, names):
                if found is not None:
                    child = _data_node(self._root, found)
                    self._subscribe(child, "0-0")
                    if self._wants(child):
                        yield Event(EventType.NEW_NODE, child)
            return
        for entry_id, fields in entries:
            event = event_fields(fields)
            kind = event.get(b"__EVENT__", b"")
            if kind == b"PREPARED_SCAN" and self._wants(node):
                yield Event(EventType.PREPARED_SCAN, node)
            elif kind == b"END_SCAN" and (self._wants(node) or node == self._root):
                text = decode(event.get(b"__EXCEPTION__", b"\x80\x04N."))
                self._ending.append(Event(EventType.END_SCAN, node, data=text))
            elif kind in (b"CHANNELDATA", b"LIMAIMAGESTATUS"):
                yield _data(node, entry_id, event)


def _data(node: DataNode, entry_id: bytes, event: Mapping[bytes, bytes]) -> Event:
    first = int(entry_id.partition(b"-")[0]) - 1
    if event[b"__EVENT__"] == b"LIMAIMAGESTATUS":
        return Event(EventType.NEW_DATA, node, first, decode(event.get(b"__STATUS__", b"")))
    digits = event.get(b"__NPOINTS__", b"1")
    count = int(digits) if digits.isdigit() else 0
    return Event(EventType.NEW_DATA, node, first, decode(event.get(b"__DATA__", b"")), count)


def _rank(key: str) -> int:
    order = (CHILDREN, PREPARED, DATA, END)
    return next((rank for rank, suffix in enumerate(order) if key.endswith(suffix)), len(order))


def _is_below(key: str, scan: str) -> bool:
    return key.startswith((f"{scan}:", f"{scan}_"))
