"""Chunks shuffled outside of HDF5 are those that HDF5 would have made."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tango_saver.sink.encoding import deflated, shuffled

DTYPES = ("u1", "<i2", ">i2", "<u4", ">u4", "<f4", "<f8", ">f8", "<i8", "<c8", "<c16", "?")


def transposed(block: np.ndarray) -> bytes:
    """All first bytes of the elements, then all second ones, and so on."""
    elements = np.frombuffer(block.tobytes(), np.uint8).reshape(-1, block.dtype.itemsize)
    return elements.T.tobytes()


@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.sampled_from([(1,), (7,), (3, 5), (2, 3, 4)]),
    largest=st.sampled_from([0, 1, 200, 70_000, 2**40]),
    seed=st.integers(0, 2**32 - 1),
)
def test_bytes_are_ordered_as_hdf5_orders_them_whichever_of_them_are_empty(
    dtype: str, shape: tuple[int, ...], largest: int, seed: int
) -> None:
    numbers = np.random.default_rng(seed).integers(0, largest, shape, endpoint=True)
    block = numbers.astype(dtype, casting="unsafe")
    assert shuffled(block).tobytes() == transposed(block)
    assert zlib.decompress(deflated(block)) == transposed(block)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_block_need_not_be_contiguous(dtype: str) -> None:
    whole = np.arange(120).reshape(10, 12).astype(dtype)
    assert shuffled(whole[:, 3:7]).tobytes() == transposed(whole[:, 3:7])
