from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tango_saver.layout.storage import LARGEST_CHUNK, SMALL_TOTAL, choose_storage
from tango_saver.model.plan import Filter

DTYPES = st.sampled_from(["?", "i1", "<u2", ">i4", "<f4", "<f8", ">c16"]).map(np.dtype)
SHAPES = st.lists(st.none() | st.integers(0, 5000), max_size=3).map(tuple)
COUNTS = st.none() | st.integers(0, 10**9)


def chunk_bytes(chunk: tuple[int, ...], dtype: np.dtype) -> int:
    return math.prod(chunk) * dtype.itemsize


@given(DTYPES, SHAPES, COUNTS)
def test_a_chunk_has_the_rank_of_the_dataset_and_at_most_a_megabyte(
    dtype: np.dtype, shape: tuple[int | None, ...], n_points: int | None
) -> None:
    storage = choose_storage(dtype, shape, n_points)
    assert len(storage.chunk) == 1 + len(shape)
    assert all(size >= 1 for size in storage.chunk)
    assert chunk_bytes(storage.chunk, dtype) <= LARGEST_CHUNK
    assert storage.reason


@given(DTYPES, SHAPES, COUNTS)
def test_a_chunk_is_never_longer_than_what_is_expected(
    dtype: np.dtype, shape: tuple[int | None, ...], n_points: int | None
) -> None:
    points, *extents = choose_storage(dtype, shape, n_points).chunk
    assert n_points is None or points <= max(n_points, 1)
    for extent, size in zip(extents, shape, strict=True):
        assert size is None or extent <= max(size, 1)


@given(DTYPES, st.lists(st.integers(1, 100), max_size=2).map(tuple), st.integers(1, 10**6))
def test_only_a_small_channel_is_one_chunk_without_filter(
    dtype: np.dtype, shape: tuple[int, ...], n_points: int
) -> None:
    storage = choose_storage(dtype, shape, n_points)
    total = n_points * math.prod(shape) * dtype.itemsize
    if total <= SMALL_TOTAL:
        assert storage.chunk == (n_points, *shape)
    assert (storage.filter is Filter.NONE) == (total <= SMALL_TOTAL)


def test_ten_million_scalars_are_hundreds_of_chunks_not_thousands() -> None:
    points = choose_storage(np.dtype("<f8"), (), 10_000_000).chunk[0]
    assert 100 < 10_000_000 / points < 1000


def test_a_moderate_number_of_scalars_leaves_little_room_for_a_chunk_not_full() -> None:
    points = choose_storage(np.dtype("<f8"), (), 200_000).chunk[0]
    assert 10 <= 200_000 / points <= 20


def test_scalars_of_unknown_number_keep_the_rewritten_chunk_small() -> None:
    assert choose_storage(np.dtype("<f8"), (), None).chunk == (4096,)


def test_spectra_fill_chunks_of_a_quarter_megabyte() -> None:
    storage = choose_storage(np.dtype("<u4"), (4096,), 8000)
    assert storage.chunk == (16, 4096)
    assert storage.filter is Filter.DEFLATE


def test_a_point_above_a_megabyte_is_cut_along_its_longest_dimension() -> None:
    assert choose_storage(np.dtype("<u2"), (2048, 2048), 100).chunk == (1, 512, 1024)


def test_text_gets_no_filter() -> None:
    assert choose_storage(None, (), None).filter is Filter.NONE
