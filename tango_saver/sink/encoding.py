"""Chunks as HDF5 stores them: shuffled and deflated, without HDF5's lock.

All of it releases the interpreter, so a pool of threads uses all cores; only bitshuffle, on
request of the session, needs HDF5 itself.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from tango_saver.model.plan import Filter

_LEVEL = 1
"""Higher levels cost time and save nothing on detector data."""
_WORDS: dict[int, np.dtype[Any]] = {2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}


class _Scratch(threading.local):
    """Memory of one thread that every chunk needs again: fresh pages would cost a third more."""

    def __init__(self) -> None:
        self._arrays: dict[str, npt.NDArray[Any]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """An array with arbitrary content, good until the name is taken again."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = self._arrays[name] = np.empty(shape, dtype)
        return array


_scratch = _Scratch()


def shuffled(block: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The bytes of a block as HDF5's shuffle filter orders them.

    Args:
        block: any shape and dtype without objects; need not be contiguous.

    Returns:
        ``(itemsize, *block.shape)``: first byte 0 of every element, then byte 1, ...; to be
        used before the same thread shuffles again.
    """
    size = block.dtype.itemsize
    planes = _scratch.take("planes", (size, *block.shape), np.dtype(np.uint8))
    word = _WORDS.get(size)
    if word is None:
        elements = np.ascontiguousarray(block).reshape(-1).view(np.uint8).reshape(-1, size)
        np.copyto(planes.reshape(size, -1), elements.T)
    else:
        # Shifts run in vector registers: more than twice as fast as a transposed copy. Counts
        # leave whole planes empty (the high bytes of integers, the low ones of floats).
        words = block.view(word)
        occupied = int(np.bitwise_or.reduce(words, axis=None))
        shifted = _scratch.take("shifted", block.shape, word)
        for index in range(size):
            if not occupied >> 8 * index & 0xFF:
                planes[index, ...] = 0
                continue
            np.right_shift(words, 8 * index, out=shifted)
            np.copyto(planes[index, ...], shifted, casting="unsafe")
    return planes


def deflated(block: npt.NDArray[Any]) -> bytes:
    """A chunk as the filters shuffle and deflate leave it (zlib container)."""
    encoded: bytes = isal_zlib.compress(shuffled(block), _LEVEL)
    return encoded


def encoded_chunk(block: npt.NDArray[Any], chosen: Filter) -> bytes:
    """A whole chunk as the chosen filter leaves it.

    Raises:
        OSError, RuntimeError, ValueError: the filter refuses.
    """
    if chosen is Filter.DEFLATE:
        return deflated(block)
    if chosen is Filter.SHUFFLE:
        return shuffled(block).tobytes()
    plain = np.ascontiguousarray(block)
    if chosen is Filter.NONE:
        return plain.tobytes()
    if chosen is Filter.GZIP:
        encoded: bytes = isal_zlib.compress(plain.reshape(-1).view(np.uint8), _LEVEL)
        return encoded
    from tango_saver.sink.bitshuffle import (  # noqa: PLC0415 - loads plugins that few ask for
        bitshuffled,
    )

    return bitshuffled(plain, chosen)


def whole_chunk(
    block: npt.NDArray[Any], chunk: tuple[int, ...], fill: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """The block padded with the fill value to the full shape of a chunk."""
    if block.shape == chunk:
        return block
    padded = np.full(chunk, fill, block.dtype)
    padded[tuple(slice(0, extent) for extent in block.shape)] = block
    return padded


def inner_offsets(inner: tuple[int, ...], chunk: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Where the chunks of one row of chunks begin, without the first dimension."""
    counts = [math.ceil(extent / step) for extent, step in zip(inner, chunk[1:], strict=True)]
    return [
        tuple(index * step for index, step in zip(indices, chunk[1:], strict=True))
        for indices in np.ndindex(*counts)
    ]
