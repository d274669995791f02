"""Stream entries into points. Pure, and fast: one pass over the entries, one copy of the values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from tango_saver.errors import StreamError
from tango_saver.model.records import FixedPoints, JsonPoints, Points, RaggedPoints
from tango_saver.model.scan import ChannelKind, ChannelSpec, Json
from tango_saver.source.bliss2.json_text import decode_json
from tango_saver.source.limits import MOST_POINTS

SEAL = b"18446744073709551615-18446744073709551615"
"""Id of the last entry of a stream that is complete."""

_MOST_EMPTY_POINTS = 2**20
"""Of one entry, for points without values: nothing else bounds their number."""

_VARIABLE = msgspec.msgpack.Decoder(tuple[list[int], bytes])


@dataclass(slots=True)
class Block:
    """Entries that follow each other without a gap."""

    first: int
    """Index of the first point to be returned."""
    skip: int = 0
    """Points at the start of the first entry that were read before."""
    payloads: list[bytes] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    """Points per entry."""

    def __len__(self) -> int:
        return sum(self.counts) - self.skip


@dataclass(slots=True)
class Batch:
    """What one reply held for one stream."""

    blocks: list[Block] = field(default_factory=list)
    """With gaps between them (and before the first, if it begins behind the position)."""
    largest: int = 0
    """Bytes of the largest payload."""
    total: int | None = None
    """Number of points as the end marker says it; None if the stream did not end."""
    problem: str = ""
    """Why the entries behind the blocks cannot be understood."""


def _number(text: bytes) -> int:
    """A plain decimal number, or ValueError."""
    if not text.isdigit() or len(text) > 20:  # noqa: PLR2004 - digits of 2**64
        raise ValueError("has not the protocol's form")
    return int(text)


def _fields(fields: Sequence[Any]) -> tuple[bytes, int]:
    """Payload and number of points of an entry, or an error."""
    if len(fields) == 2 and fields[0] == b"payload":  # noqa: PLR2004 - one pair
        return fields[1], 1
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    return named[b"payload"], _number(named.get(b"len", b"1"))


def _total(fields: Sequence[Any]) -> int:
    """Number of points as an end marker says it, or an error."""
    total = _number(dict(zip(fields[::2], fields[1::2], strict=True))[b"id"])
    if total > MOST_POINTS:
        raise ValueError("has an impossible number of points")
    return total


def _take(batch: Batch, entry_id: bytes, fields: Sequence[Any], position: int) -> int:
    """Put one entry into its block; the new position, or ValueError with what is wrong."""
    first = _number(entry_id.partition(b"-")[0])
    payload, count = _fields(fields)
    stop = first + count
    if not count or stop > MOST_POINTS:
        raise ValueError("has an impossible number of points")
    batch.largest = max(batch.largest, len(payload))
    if first < position and batch.blocks:
        raise ValueError("overlaps the one before")
    if stop <= position:
        return position
    if first != position or not batch.blocks:
        skip = max(position - first, 0)
        batch.blocks.append(Block(first + skip, skip))
    block = batch.blocks[-1]
    block.payloads.append(payload)
    block.counts.append(count)
    return stop


def split_entries(entries: Sequence[Sequence[Any]], position: int) -> Batch:
    """Order the entries of one stream into blocks.

    Args:
        entries: ``[id, [field, value, ...]]`` as Redis sends them, in order of their ids.
        position: index of the first point that was not read yet.

    Never raises: what cannot be understood ends the batch with ``problem`` set.
    """
    batch = Batch()
    for entry_id, fields in entries:
        try:
            if entry_id == SEAL:
                batch.total = _total(fields)
                break
            position = _take(batch, entry_id, fields, position)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            fact = str(error) if type(error) is ValueError else "has not the protocol's form"
            batch.problem = f"the entry {entry_id.decode(errors='replace')} {fact}"
            break
    return batch


def _cut(block: Block, n_good: int) -> Block:
    return Block(block.first, block.skip, block.payloads[:n_good], block.counts[:n_good])


def _fixed(spec: ChannelSpec, shape: tuple[int, ...], block: Block) -> tuple[FixedPoints, str]:
    dtype = np.dtype(spec.dtype)
    point_size = dtype.itemsize * math.prod(shape)
    problem = ""
    if list(map(len, block.payloads)) != [count * point_size for count in block.counts]:
        n_good = next(
            i
            for i, (payload, count) in enumerate(zip(block.payloads, block.counts, strict=True))
            if len(payload) != count * point_size
        )
        problem = (
            f"an entry of {block.counts[n_good]} points holds {len(block.payloads[n_good])} "
            f"bytes, not {block.counts[n_good] * point_size}"
        )
        block = _cut(block, n_good)
    payloads = block.payloads
    if not payloads:
        return FixedPoints(np.empty((0, *shape), dtype)), problem
    data = payloads[0] if len(payloads) == 1 else b"".join(payloads)
    values = np.frombuffer(data, dtype).reshape(-1, *shape)
    return FixedPoints(values[block.skip :] if block.skip else values), problem


def _variable(spec: ChannelSpec, payload: bytes, count: int) -> list[np.ndarray[Any, Any]]:
    """The points of one entry, or ValueError."""
    dtype, wanted = np.dtype(spec.dtype), spec.shape or ()
    try:
        shape, data = _VARIABLE.decode(payload)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError("an entry is not a msgpack pair of shape and values") from error
    if len(shape) != len(wanted) or any(
        n < 0 or (fixed is not None and n != fixed) for n, fixed in zip(shape, wanted, strict=True)
    ):
        raise ValueError(f"an entry has points of shape {shape[:8]}, which the encoding forbids")
    size = math.prod(shape)
    if len(data) != count * size * dtype.itemsize:
        raise ValueError(f"an entry of {count} points of shape {shape} holds {len(data)} bytes")
    if not size:
        if count > _MOST_EMPTY_POINTS or max(shape) > MOST_POINTS:
            raise ValueError(f"an entry claims {count} points without values")
        return [np.empty(shape, dtype)] * count
    return list(np.frombuffer(data, dtype).reshape(count, *shape))


def _ragged(spec: ChannelSpec, block: Block) -> tuple[RaggedPoints, str]:
    values: list[np.ndarray[Any, Any]] = []
    problem = ""
    for payload, count in zip(block.payloads, block.counts, strict=True):
        try:
            values += _variable(spec, payload, count)
        except ValueError as error:
            problem = str(error)
            break
    return RaggedPoints(tuple(values[block.skip :])), problem


def _json(block: Block) -> tuple[JsonPoints, str]:
    values: list[Json] = []
    problem = ""
    for payload, count in zip(block.payloads, block.counts, strict=True):
        if count != 1:
            problem = f"an entry claims to hold {count} JSON values"
            break
        try:
            values.append(decode_json(payload))
        except ValueError as error:
            problem = f"an entry cannot be decoded: {error}"
            break
    return JsonPoints(tuple(values)), problem


def decode_block(spec: ChannelSpec, block: Block) -> tuple[Points, str]:
    """The points of a block.

    Points of a channel without varying dimension are FixedPoints, with one always
    RaggedPoints, those of a json channel and the sub-scans of a sequence JsonPoints. Values
    are read-only.

    Returns:
        the points in front of the first entry that cannot be decoded, and what is wrong
        with that entry (empty if nothing is).
    """
    if spec.kind in (ChannelKind.JSON, ChannelKind.SUBSCANS):
        return _json(block)
    if spec.shape is None or None in spec.shape:
        return _ragged(spec, block)
    return _fixed(spec, tuple(n for n in spec.shape if n is not None), block)


def decode_status(spec: ChannelSpec, block: Block) -> Json:
    """The newest status of a channel that carries no points: the last of the block.

    Raises:
        StreamError: it cannot be decoded.
    """
    payload = block.payloads[-1]
    if spec.status_dtype is None:
        try:
            return decode_json(payload)
        except ValueError as error:
            raise StreamError(f"a status cannot be decoded: {error}", channel=spec.name) from error
    size = spec.status_dtype.itemsize
    if len(payload) < size or len(payload) % size:
        raise StreamError(f"a status of {len(payload)} bytes is no number", channel=spec.name)
    return np.frombuffer(payload[-size:], spec.status_dtype)[0].item()
