"""All that Redis has of one scan, read level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from tango_saver.model.scan import ScanKey, ScanState
from tango_saver.source.bliss1.classes import DecodingError, Value
from tango_saver.source.bliss1.pickled import decode
from tango_saver.source.bliss1.tree import (
    DATA,
    END,
    PREPARED,
    REFERENCES,
    Node,
    children_of,
    descendants,
    event_fields,
    read_fields,
    read_nodes,
)
from tango_saver.source.wire import is_deleted, redis_errors

CHANNEL, CAMERA, REFERENCES_TO_SCANS = "channel", "lima", "node_ref_channel"
CHANNEL_KINDS = frozenset({CHANNEL, CAMERA, REFERENCES_TO_SCANS})
_MOST_NODES = 50_000
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class ChannelNode:
    """A node that has a stream of data."""

    node: Node
    fields: Mapping[str, bytes]
    """Its info, still as pickles."""
    references: bytes | None = None
    """The newest of what a camera published when it was prepared."""

    @property
    def stream(self) -> str:
        """Key of the stream."""
        return self.node.key + DATA

    def tail(self, scan: str) -> str:
        """Its name below the scan, which no other node has."""
        return self.node.key.removeprefix(f"{scan}:")


@dataclass(frozen=True, slots=True)
class ScanNodes:
    """A scan, its devices and its channels."""

    scan: Node
    fields: Mapping[str, bytes]
    top_masters: Sequence[str]
    """Names of the roots of the acquisition chain, in the order of their making."""
    channels: Sequence[ChannelNode]
    was_prepared: bool
    state: ScanState
    exception: Value
    """Of END_SCAN: the text of a class, empty for a good scan; None if it tells nothing."""


def read_scan_nodes(client: redis.Redis, key: ScanKey) -> ScanNodes | None:
    """Read a scan; None if it is not in Redis, or about to expire.

    Raises:
        RedisUnreachableError: Redis does not answer.
    """
    with redis_errors(key):
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command("TTL", key)
        pipeline.execute_command("XLEN", key + PREPARED)
        pipeline.execute_command("XREVRANGE", key + END, "+", "-", "COUNT", 10)
        ttl, n_prepared, ended = pipeline.execute(raise_on_error=False)
        for reply in (ttl, n_prepared, ended):
            if isinstance(reply, redis.ConnectionError | redis.TimeoutError):
                raise reply
    (scan,) = read_nodes(client, [key])
    if scan is None or is_deleted(ttl):
        return None
    # The state was read before: what belongs to it is there by now.
    below = descendants(client, key, most=_MOST_NODES, deepest=_DEEPEST)
    (masters,) = children_of(client, [key])
    (fields,) = read_fields(client, [key])
    exception = end_of(ended if isinstance(ended, list) else [])
    prepared = type(n_prepared) is int and n_prepared > 0
    if exception is not None:
        state = ScanState.CLOSED
    else:
        state = ScanState.PREPARED if prepared else ScanState.CREATED
    return ScanNodes(
        scan,
        fields,
        tuple(name.removeprefix(f"{key}:") for name in masters),
        _channels(client, [node for node in below if node.kind in CHANNEL_KINDS]),
        prepared,
        state,
        None if exception is None else exception[0],
    )


def end_of(entries: Sequence[Any]) -> tuple[Value] | None:
    """The exception that an END_SCAN among entries tells; None without one."""
    for _, fields in entries:
        event = event_fields(fields)
        if event.get(b"__EVENT__") == b"END_SCAN":
            try:
                return (decode(event.get(b"__EXCEPTION__", b"")),)
            except DecodingError:
                return (None,)
    return None


def _channels(client: redis.Redis, nodes: Sequence[Node]) -> list[ChannelNode]:
    fields = read_fields(client, [node.key for node in nodes])
    references: dict[str, bytes] = {}
    cameras = [node.key for node in nodes if node.kind == CAMERA]
    if cameras:
        with redis_errors():
            pipeline = client.pipeline(transaction=False)
            for camera in cameras:
                pipeline.execute_command("LRANGE", camera + REFERENCES, 0, 0)
            for camera, reply in zip(cameras, pipeline.execute(), strict=True):
                if reply:
                    references[camera] = reply[0]
    return [
        ChannelNode(node, found, references.get(node.key))
        for node, found in zip(nodes, fields, strict=True)
    ]
