"""Stream entries into points: all values, exact gaps, and nothing believed that is not checked."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tango_saver.errors import StreamError
from tango_saver.model.records import FixedPoints, JsonPoints, RaggedPoints
from tango_saver.model.scan import ChannelKind, ChannelSpec
from tango_saver.source.bliss2.payload import (
    SEAL,
    Block,
    decode_block,
    decode_status,
    split_entries,
)

DTYPES = ["|b1", "|i1", "<i2", ">i4", "<u8", ">f4", "<f8", "<c8", ">c16"]


def spec(dtype: str = "<f8", shape: tuple[int | None, ...] = (), **fields: Any) -> ChannelSpec:
    fields = {"kind": ChannelKind.NUMERIC, "dtype": np.dtype(dtype), "shape": shape} | fields
    return ChannelSpec(name="c", stream="s", **fields)


def entry(first: int, payload: bytes, count: int = 1) -> list[Any]:
    fields = [b"payload", payload] if count == 1 else [b"payload", payload, b"len", b"%d" % count]
    return [b"%d-1" % first, fields]


def seal(total: int) -> list[Any]:
    return [SEAL, [b"id", b"%d" % total]]


@settings(deadline=None)
@given(st.data())
def test_points_of_any_dtype_shape_and_block_size_come_back_equal(data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=3)))
    counts = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    values = data.draw(npst.arrays(dtype, (sum(counts), *shape)))
    edges = np.cumsum([0, *counts])
    entries = [
        entry(int(a), values[a:b].tobytes(), int(b - a)) for a, b in itertools.pairwise(edges)
    ]
    position = data.draw(st.integers(0, sum(counts) - 1))
    batch = split_entries([*entries, seal(len(values))], position)
    assert (batch.problem, batch.total) == ("", len(values))
    (block,) = batch.blocks
    assert block.first == position
    assert len(block) == len(values) - position
    points, problem = decode_block(spec(dtype.str, shape), block)
    assert problem == ""
    assert isinstance(points, FixedPoints)
    assert points.values.dtype == dtype
    assert points.values.tobytes() == values[position:].tobytes()
    assert points.values.shape == (len(values) - position, *shape)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=8),
    st.integers(0, 12),
)
def test_blocks_hold_exactly_the_points_that_are_there_behind_the_position(
    layout: list[tuple[int, int]], position: int
) -> None:
    entries, there, index = [], [], 0
    for gap, count in layout:
        index += gap
        entries.append(entry(index, b"x" * count, count))
        there += range(index, index + count)
        index += count
    batch = split_entries(entries, position)
    found = [n for block in batch.blocks for n in range(block.first, block.first + len(block))]
    assert found == [n for n in there if n >= position]
    assert batch.problem == ""
    for block, after in itertools.pairwise(batch.blocks):
        assert after.first > block.first + len(block)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3)), min_size=1, max_size=6), st.data())
def test_variable_shapes_come_back_point_by_point(
    layout: list[tuple[int, int]], data: st.DataObject
) -> None:
    entries, expected, index = [], [], 0
    for length, count in layout:
        values = np.arange(length * 3 * count, dtype="<i4").reshape(count, length, 3)
        payload = msgspec.msgpack.encode([[length, 3], values.tobytes()])
        entries.append(entry(index, payload, count))
        expected += list(values)
        index += count
    position = data.draw(st.integers(0, index - 1))
    (block,) = split_entries(entries, position).blocks
    points, problem = decode_block(spec("<i4", (None, 3)), block)
    assert problem == ""
    assert isinstance(points, RaggedPoints)
    assert len(points) == len(expected) - position
    for got, wanted in zip(points.values, expected[position:], strict=True):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        assert np.array_equal(got, wanted)


@given(
    st.lists(
        st.none() | st.floats() | st.text() | st.dictionaries(st.text(), st.integers(-5, 5)),
        min_size=1,
    )
)
def test_json_points_come_back_equal_with_not_a_number_among_them(values: list[Any]) -> None:
    entries = [entry(i, json.dumps(value).encode()) for i, value in enumerate(values)]
    (block,) = split_entries(entries, 0).blocks
    points, problem = decode_block(spec(kind=ChannelKind.JSON, dtype=None, shape=None), block)
    assert problem == ""
    assert isinstance(points, JsonPoints)
    assert json.dumps(points.values) == json.dumps(values)


@pytest.mark.parametrize(
    ("bad", "shape"),
    [
        (entry(2, b"1234567"), ()),
        (entry(2, b""), ()),
        (entry(2, bytes(8), 2), ()),
        (entry(2, bytes(8), 10**12), ()),
        (entry(2, b"\x93\x01\x02\x03"), (None,)),
        (entry(2, b"\xff"), (None,)),
        (entry(2, msgspec.msgpack.encode([[-1], b""])), (None,)),
        (entry(2, msgspec.msgpack.encode([[2], bytes(8)])), (None,)),
        (entry(2, msgspec.msgpack.encode([[1, 1], bytes(8)])), (None,)),
        (entry(2, msgspec.msgpack.encode([[2**62, 2**62], bytes(8)])), (None, None)),
        (entry(2, msgspec.msgpack.encode([[0], b""]), 2**39), (None,)),
        (entry(2, msgspec.msgpack.encode([[2**63, 2**63, 0], b""])), (None, None, None)),
        (entry(2, b"\x91" * 100_000), (None,)),
    ],
)
def test_points_before_a_bad_entry_are_kept(bad: list[Any], shape: tuple[int | None, ...]) -> None:
    if shape:
        good = msgspec.msgpack.encode([[1] * len(shape), bytes(8)])
        entries = [entry(0, good), entry(1, good), bad]
    else:
        entries = [entry(0, bytes(8)), entry(1, bytes(8)), bad]
    batch = split_entries(entries, 0)
    points, problem = decode_block(spec("<f8", shape), batch.blocks[0])
    assert len(points) == 2
    assert problem


@pytest.mark.parametrize(
    "bad",
    [
        [b"2-1", []],
        [b"2-1", [b"payload"]],
        [b"2-1", [b"other", b"x"]],
        [b"2-1", [b"payload", b"x", b"len", b"-1"]],
        [b"2-1", [b"payload", b"x", b"len", b"0"]],
        [b"2-1", [b"payload", b"x", b"len", b"9" * 5000]],
        [b"2-1", None],
        [b"2", [b"payload", b"x", b"len", b"\xff"]],
        [b"9999999999999999999-1", [b"payload", b"x"]],
        [b"1-2", [b"payload", b"x"]],
        [SEAL, [b"di", b"2"]],
        [SEAL, [b"id", b"many"]],
        [SEAL, [b"id", b"18446744073709551615"]],
    ],
)
def test_an_entry_of_another_form_ends_the_batch_behind_the_good_ones(bad: list[Any]) -> None:
    batch = split_entries([entry(0, b"x"), entry(1, b"x"), bad], 0)
    assert sum(map(len, batch.blocks)) == 2
    assert batch.problem
    assert batch.total is None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.binary(max_size=6) | st.integers(0, 9).map(lambda n: b"%d-1" % n) | st.just(SEAL),
            st.none()
            | st.lists(
                st.sampled_from([b"payload", b"len", b"id", b"3", b""]) | st.binary(max_size=9),
                max_size=5,
            ),
        ),
        max_size=5,
    ),
    st.sampled_from([(), (2,), (None,), (None, 2)]),
    st.sampled_from([ChannelKind.NUMERIC, ChannelKind.JSON]),
)
def test_nothing_that_redis_may_hold_raises(
    entries: list[Any], shape: tuple[int | None, ...], kind: ChannelKind
) -> None:
    batch = split_entries(entries, 0)
    for block in batch.blocks:
        points, problem = decode_block(spec("<i2", shape, kind=kind), block)
        assert len(points) == len(block) or problem


def test_the_newest_status_counts() -> None:
    lima = spec(kind=ChannelKind.IMAGE_REFERENCE, dtype=None, shape=None)
    block = Block(0, payloads=[b'{"last_index": 0}', b'{"last_index": 4}'], counts=[1, 1])
    assert decode_status(lima, block) == {"last_index": 4}
    lima2 = spec(
        kind=ChannelKind.IMAGE_REFERENCE, dtype=None, shape=None, status_dtype=np.dtype("<u4")
    )
    block = Block(0, payloads=[np.array([3, 9], "<u4").tobytes()], counts=[2])
    assert decode_status(lima2, block) == 9
    for payload in (b"", b"12345"):
        with pytest.raises(StreamError):
            decode_status(lima2, Block(0, payloads=[payload], counts=[1]))
