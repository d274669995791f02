"""The tree of nodes that BLISS 1 keeps in Redis.

A node is a hash of plain texts under its name; its children are announced in the stream
``<name>_children_list``, its own fields are pickles in the hash ``<name>_info``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from tango_saver.source.bliss1.classes import DecodingError, Value
from tango_saver.source.bliss1.pickled import decode
from tango_saver.source.wire import RawEntry, redis_errors

CHILDREN = "_children_list"
PREPARED = "_prepared"
END = "_end"
DATA = "_data"
INFO = "_info"
REFERENCES = "_data_ref"

SCAN_KINDS = frozenset({"scan", "scan_group"})
DEVICE = "None"
"""Node type of the devices of a scan."""
_PAGE = 1000
_MOST_CHILDREN = 200_000
_LARGEST_FIELD = 16 * 2**20
_VERSION = re.compile(r"v1(\.\d+)*")


@dataclass(frozen=True, slots=True)
class Node:
    """What the hash of a node says."""

    key: str
    """Its full name, unique in the database."""
    kind: str
    """``container``, ``proposal``, ``dataset``, ``scan``, ``scan_group``, ``channel``, ``lima``,
    ``node_ref_channel``, or ``None`` for a device."""
    name: str
    version: str
    """Empty as long as the node is not finished."""
    parent: str

    @property
    def is_scan(self) -> bool:
        """Whether it is a scan, a group or a sequence of scans."""
        return self.kind in SCAN_KINDS

    @property
    def is_readable(self) -> bool:
        """Whether its protocol is one that we know."""
        return bool(_VERSION.fullmatch(self.version))


def read_nodes(client: redis.Redis, keys: Sequence[str]) -> list[Node | None]:
    """The nodes of these names; None where there is none.

    Raises:
        RedisUnreachableError: Redis does not answer.
    """
    found: list[Node | None] = []
    with redis_errors():
        for start in range(0, len(keys), _PAGE):
            part = keys[start : start + _PAGE]
            pipeline = client.pipeline(transaction=False)
            for key in part:
                pipeline.execute_command("HMGET", key, "node_type", "name", "version", "parent")
            replies = _answers(pipeline)
            found += [_node(key, reply) for key, reply in zip(part, replies, strict=True)]
    return found


def _node(key: str, reply: Any) -> Node | None:
    """None for a key that is no node."""
    if isinstance(reply, Exception) or reply[0] is None:
        return None
    kind, name, version, parent = (
        value.decode(errors="replace") if value is not None else "" for value in reply
    )
    return Node(key, kind, name, "" if version == "None" else version, parent)


def _answers(pipeline: Any) -> list[Any]:
    """The replies, a refusal of Redis in place of its answer."""
    replies = pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, redis.ConnectionError | redis.TimeoutError):
            raise reply
    return list(replies)


def children_of(client: redis.Redis, keys: Sequence[str]) -> list[list[str]]:
    """The names of the children of each node, in the order in which they were announced.

    Raises:
        RedisUnreachableError: Redis does not answer.
    """
    with redis_errors():
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("XRANGE", key + CHILDREN, "-", "+", "COUNT", _MOST_CHILDREN)
        replies = _answers(pipeline)
    return [
        [] if isinstance(reply, Exception) else list(dict.fromkeys(new_nodes(reply)))
        for reply in replies
    ]


def new_nodes(entries: Iterable[RawEntry]) -> Iterator[str]:
    """The nodes that entries of a children stream announce."""
    for _, fields in entries:
        event = event_fields(fields)
        name = event.get(b"db_name")
        if event.get(b"__EVENT__") == b"NEW_NODE" and name:
            yield name.decode(errors="replace")


def event_fields(fields: Sequence[bytes] | Mapping[bytes, bytes] | None) -> dict[bytes, bytes]:
    """The fields of an entry, by name."""
    if isinstance(fields, Mapping):
        return dict(fields)
    return dict(zip(fields[::2], fields[1::2], strict=False)) if fields else {}


def read_fields(client: redis.Redis, keys: Sequence[str]) -> list[dict[str, bytes]]:
    """The fields of the infos of these nodes, still as pickles.

    Raises:
        RedisUnreachableError: Redis does not answer.
    """
    with redis_errors():
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("HGETALL", key + INFO)
        replies = _answers(pipeline)
    return [
        {}
        if isinstance(reply, Exception)
        else {name.decode(errors="replace"): value for name, value in _pairs(reply)}
        for reply in replies
    ]


def _pairs(reply: Any) -> Iterable[tuple[bytes, bytes]]:
    if isinstance(reply, Mapping):
        return reply.items()
    return zip(reply[::2], reply[1::2], strict=False)


def decode_fields(fields: Mapping[str, bytes]) -> tuple[dict[str, Value], list[str]]:
    """The values of an info.

    Returns:
        the values, and one sentence for each field that cannot be read; it is left out.
    """
    values: dict[str, Value] = {}
    problems: list[str] = []
    for name, raw in fields.items():
        if len(raw) > _LARGEST_FIELD:
            problems.append(f"the field {name} was left aside: it has {len(raw)} bytes")
            continue
        try:
            values[name] = decode(raw)
        except DecodingError as error:
            problems.append(f"the field {name} was left aside: {error.fact}")
    return values, problems


def descendants(client: redis.Redis, key: str, *, most: int, deepest: int) -> list[Node]:
    """All nodes below one, level by level; each level takes two questions to Redis.

    A name that is not below its parent is left out, and so is what is beyond the limits.

    Raises:
        RedisUnreachableError: Redis does not answer.
    """
    found: list[Node] = []
    level = [key]
    for _ in range(deepest):
        names = [
            child
            for parent, children in zip(level, children_of(client, level), strict=True)
            for child in children
            if child.startswith(f"{parent}:")
        ][: most - len(found)]
        if not names:
            break
        nodes = [node for node in read_nodes(client, names) if node is not None]
        found += nodes
        level = [node.key for node in nodes]
    return found
