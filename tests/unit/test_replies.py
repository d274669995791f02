"""Replies of Redis pass through unchanged, and those beyond all measure are refused at once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis._parsers.hiredis import NOT_ENOUGH_DATA

from tango_saver.source.replies import BadReplyError, BoundedReader, LargeReplyError


def _value(raw: bytes | None) -> bytes:
    return b"$-1\r\n" if raw is None else b"$%d\r\n%s\r\n" % (len(raw), raw)


_LOOKING_LIKE_LENGTHS = st.lists(
    st.sampled_from([b"*2000000000\r\n", b"$2000000000\r\n", b"\r", b"\n", b"*", b"$7", b"1"])
).map(b"".join)
_RAW = st.one_of(
    st.binary(max_size=120),
    _LOOKING_LIKE_LENGTHS,
    st.integers(0, 70_000).map(lambda size: b"*9999999\r\n"[: size % 11] * (size // 11)),
)
_LEAVES = st.one_of(
    st.none().map(_value),
    _RAW.map(_value),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: b":%d\r\n" % number),
    st.sampled_from([b"+OK\r\n", b"-ERR no *2000000000 here\r\n", b"*-1\r\n", b"*0\r\n"]),
)
_REPLIES = st.recursive(
    _LEAVES,
    lambda parts: st.lists(parts, max_size=12).map(
        lambda found: b"*%d\r\n%s" % (len(found), b"".join(found))
    ),
    max_leaves=40,
)


def _reader(timeout_s: float = 5.0) -> BoundedReader:
    return BoundedReader(hiredis.Reader(notEnoughData=NOT_ENOUGH_DATA), timeout_s)


def _read(reader: Any, pieces: list[bytes]) -> Iterator[Any]:
    for piece in pieces:
        reader.feed(bytearray(piece), 0, len(piece))
        while (reply := reader.gets()) is not NOT_ENOUGH_DATA:
            yield reply


@given(replies=st.lists(_REPLIES, min_size=1, max_size=4), cuts=st.lists(st.integers(0, 3000)))
def test_replies_are_those_that_hiredis_reads_however_they_are_cut(
    replies: list[bytes], cuts: list[int]
) -> None:
    sent = b"".join(replies)
    places = [0, *sorted(cut % (len(sent) + 1) for cut in cuts), len(sent)]
    pieces = [sent[begin:end] for begin, end in itertools.pairwise(places)]
    expected = list(_read(hiredis.Reader(notEnoughData=NOT_ENOUGH_DATA), [sent]))
    reader = _reader()
    assert repr(list(_read(reader, pieces))) == repr(expected)
    assert not reader.has_data()


@pytest.mark.parametrize(
    "before",
    [b"", b"*1\r\n" * 3, b"*2\r\n$3\r\nabc\r\n", b"+OK\r\n", b"*2\r\n$200\r\n%200d\r\n" % 7],
)
@pytest.mark.parametrize(
    "nonsense", [b"*2000000000\r\n", b">2000000000\r\n", b"~2000000\r\n", b"%2000000000\r\n"]
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_list_beyond_all_measure_is_refused_before_it_is_made(
    before: bytes, nonsense: bytes, step: int
) -> None:
    sent = before + nonsense
    pieces = [sent[place : place + step] for place in range(0, len(sent), step)]
    asked = time.process_time()
    with pytest.raises(BadReplyError, match="a list of 2000000"):
        list(_read(_reader(), pieces))
    assert time.process_time() - asked < 1


def test_a_value_beyond_all_measure_is_refused_when_it_is_announced() -> None:
    with pytest.raises(BadReplyError, match="a value of 2000000000 bytes"):
        list(_read(_reader(), [b"*2\r\n:1\r\n$2000000000\r\nabc"]))


def test_a_large_value_is_none_of_these() -> None:
    value = b"*2000000000\r\n" * 1_000_000
    sent = b"*2\r\n$%d\r\n%s\r\n:1\r\n" % (len(value), value)
    pieces = [sent[place : place + 2**18] for place in range(0, len(sent), 2**18)]
    assert list(_read(_reader(), pieces)) == [[value, 1]]


def test_a_line_without_an_end_is_refused() -> None:
    with pytest.raises(BadReplyError, match="line without an end"):
        list(_read(_reader(), [b"+" + b"a" * 1000] + [b"a" * 1000] * 100))


def test_small_things_without_end_are_refused() -> None:
    pieces = [_value(b"a" * 90) * 10_000] * 100
    with pytest.raises(LargeReplyError, match="more than 67"):
        list(_read(_reader(), [b"*1000000\r\n", *pieces]))


def test_many_replies_are_not_one_large_one() -> None:
    value = _value(b"a" * 99) * 1000
    assert sum(1 for _ in _read(_reader(), [value] * 700)) == 700_000


def test_a_reply_that_never_gets_done_is_given_up() -> None:
    reader = _reader(timeout_s=0.2)
    began = time.monotonic()

    def trickle() -> None:
        list(_read(reader, [b"$20\r\n"]))
        for _ in range(20):
            time.sleep(0.05)
            list(_read(reader, [b"a"]))

    with pytest.raises(LargeReplyError, match="not complete after"):
        trickle()
    assert time.monotonic() - began < 2


def test_the_wait_for_the_beginning_of_a_reply_does_not_count() -> None:
    reader = _reader(timeout_s=0.2)
    for _ in range(3):
        assert list(_read(reader, [b""])) == []
        time.sleep(0.15)
        assert list(_read(reader, [b":1\r\n"])) == [1]
