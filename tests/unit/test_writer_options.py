from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tango_saver.layout.options import ChunkOptions, chunk_options
from tango_saver.layout.storage import LARGEST_ASKED_CHUNK, choose_storage
from tango_saver.model.plan import Filter

JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
U4, F8 = np.dtype("<u4"), np.dtype("<f8")
SCHEMES = {
    "none": Filter.NONE,
    "gzip": Filter.GZIP,
    "byteshuffle": Filter.SHUFFLE,
    "gzip-byteshuffle": Filter.DEFLATE,
    "bitshuffle": Filter.BITSHUFFLE,
    "lz4-bitshuffle": Filter.BITSHUFFLE_LZ4,
}


def asked(**options: Any) -> ChunkOptions:
    found, warnings = chunk_options({"chunk_options": options})
    assert warnings == ()
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("spelled", [str.lower, str.upper])
def test_each_compression_scheme_has_its_filter(scheme: str, spelled: Any) -> None:
    options = asked(compression_scheme=spelled(scheme))
    assert choose_storage(U4, (4096,), 1000, options).filter is SCHEMES[scheme]


def test_nothing_asked_for_is_our_own_choice() -> None:
    for writer_options in ({}, {"chunk_options": {}}, {"chunk_options": None}):
        options, warnings = chunk_options(writer_options)
        assert choose_storage(U4, (4096,), 1000, options) == choose_storage(U4, (4096,), 1000)
        assert warnings == ()


def test_chunks_are_as_those_of_the_classic_writer() -> None:
    options = asked(compression_scheme="gzip", compression_limit_nbytes=0, chunk_nbytes=1048)
    assert choose_storage(U4, (2048,), 10, options).chunk == (1, 262)
    assert choose_storage(F8, (), 10, options).chunk == (10,)
    assert choose_storage(F8, (), 10, options).filter is Filter.GZIP


@pytest.mark.parametrize(("limit", "chosen"), [(79, Filter.DEFLATE), (80, Filter.NONE)])
def test_only_channels_above_the_limit_are_compressed(limit: int, chosen: Filter) -> None:
    options = asked(compression_limit_nbytes=limit)
    assert choose_storage(F8, (), 10, options).filter is chosen


def test_a_channel_of_unknown_length_is_above_every_limit() -> None:
    options = asked(compression_limit_nbytes=2**39)
    assert choose_storage(F8, (), None, options).filter is Filter.DEFLATE


def test_the_innermost_dimension_is_split_as_asked() -> None:
    options = asked(chunk_split=2, chunk_nbytes=100_000)
    assert choose_storage(U4, (1000, 1000), 50, options).chunk == (1, 50, 500)


@pytest.mark.parametrize(
    "options",
    [
        {"compression_scheme": "zip"},
        {"compression_scheme": 4},
        {"chunk_nbytes": 0},
        {"chunk_nbytes": "big"},
        {"chunk_split": -1},
        {"chunk_split": True},
        {"compression_limit_nbytes": -1},
        {"compression_limit_nbytes": 2**70},
    ],
)
def test_an_option_that_cannot_be_used_is_told_and_left_aside(options: dict[str, Any]) -> None:
    found, warnings = chunk_options({"chunk_options": options})
    assert found == ChunkOptions()
    (name,) = options
    assert len(warnings) == 1
    assert name in warnings[0]


@given(st.dictionaries(st.text(), JSON) | JSON)
def test_no_options_whatever_are_an_error(options: Any) -> None:
    chunk_options({"chunk_options": options})


@given(
    shape=st.lists(st.integers(0, 5000), max_size=3).map(tuple),
    n_points=st.none() | st.integers(0, 10**7),
    chunk_bytes=st.none() | st.integers(1, 2**40),
    split=st.none() | st.integers(1, 1000),
    dtype=st.sampled_from([U4, F8, np.dtype("?"), np.dtype("<c16")]),
)
def test_a_chunk_is_never_larger_than_asked_nor_empty(
    shape: tuple[int, ...],
    n_points: int | None,
    chunk_bytes: int | None,
    split: int | None,
    dtype: np.dtype[Any],
) -> None:
    options = ChunkOptions(None, None, chunk_bytes, split)
    chunk = choose_storage(dtype, shape, n_points, options).chunk
    assert len(chunk) == 1 + len(shape)
    assert min(chunk) >= 1
    room = min(chunk_bytes or LARGEST_ASKED_CHUNK, LARGEST_ASKED_CHUNK)
    assert math.prod(chunk) * dtype.itemsize <= max(room, dtype.itemsize)
