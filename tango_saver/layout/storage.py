"""From what a channel's points are to how they lie in the file.

The chunk comes from the expected number of points, never from the size of the first
block: a channel that sends its first point alone would otherwise be stored in chunks
of one point. Four rules, the first that fits decides; its name is kept as the reason:

1. text: references to a heap, which no filter reaches;
2. all expected points together small: one chunk, no filter, nothing to gain;
3. scalars: a sixteenth of the expected points, at least 4096 (all that is known to be
   large about a scan without a number of points) and at most half a megabyte;
4. spectra and images: about a quarter of a megabyte; a point that is larger itself is a
   chunk, cut along its longest dimension above one megabyte.

A chunk that is not full lies in the file uncompressed, and leaves its place free when it
was compressed: hence not larger than needed for a good ratio and few calls. Measured on
1 GB of fluorescence spectra: 149 MB in chunks of 256 kB, 155 MB in chunks of 1 MB.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tango_saver.layout.options import ChunkOptions
from tango_saver.model.plan import Filter, Storage

SMALL_TOTAL = 64 * 1024
"""Bytes of a whole channel below which it is one chunk without filter."""
LARGEST_CHUNK = 1024 * 1024
"""Bytes; never exceeded."""
LARGEST_SCALAR_CHUNK = 512 * 1024
"""Bytes for scalars whose number is known to be large."""
SMALLEST_SCALAR_CHUNK = 4096
"""Points."""
SCALAR_CHUNKS = 16
"""Chunks that a channel of scalars is wanted to have."""
SPECTRUM_CHUNK = 256 * 1024
"""Bytes for points that are arrays."""
VARYING_EXTENT = 512
"""Chunk along the one dimension that varies."""
VARYING_EXTENTS = 64
"""Chunk along each of several dimensions that vary."""
TEXT_POINTS = 512
LARGEST_ASKED_CHUNK = 64 * 1024 * 1024
"""Bytes; whatever a session asks for, a chunk is in memory as a whole."""
_SPLIT = 4
"""Parts of the innermost dimension where the session says nothing of it."""
_ENDLESS_POINTS = 512
"""Taken for an unknown number of points where chunks are as the session asks."""
_OURS = ChunkOptions()


def choose_storage(
    dtype: np.dtype[Any] | None,
    shape: tuple[int | None, ...],
    n_points: int | None,
    options: ChunkOptions = _OURS,
) -> Storage:
    """Chunk and filter of a channel's dataset.

    Args:
        dtype: of one value; None for text.
        shape: of one point, ``()`` for a scalar; None for a dimension that varies.
        n_points: expected number of points, None if unknown.
        options: what the session asks for.

    Returns:
        a chunk of ``1 + len(shape)`` dimensions, each at least 1, of at most 1 MiB unless the
        session asks for more.
    """
    storage = _own_choice(dtype, shape, n_points)
    if options == _OURS or dtype is None:
        return storage
    extents = _extents(shape)
    itemsize = max(dtype.itemsize, 1)
    n_expected = _ENDLESS_POINTS if n_points is None else max(n_points, 1)
    chunk, chosen = storage.chunk, storage.filter
    if options.chunk_bytes is not None or options.chunk_split is not None:
        chunk = _asked_chunk((n_expected, *extents), itemsize, options)
    if options.compression_limit is not None:
        is_large = n_points is None or (
            n_expected * math.prod(extents) * itemsize > options.compression_limit
        )
        chosen = Filter.DEFLATE if is_large else Filter.NONE
    if chosen is not Filter.NONE and options.filter is not None:
        chosen = options.filter
    return Storage(chunk, chosen, "as the session asks")


def _asked_chunk(extents: tuple[int, ...], itemsize: int, options: ChunkOptions) -> tuple[int, ...]:
    """The whole array if it fits, else filled up from the innermost dimension."""
    room = min(options.chunk_bytes or LARGEST_CHUNK, LARGEST_ASKED_CHUNK) // itemsize
    if math.prod(extents) <= room:
        return extents
    chunk: list[int] = []
    for extent in reversed(extents):
        part = -(-extent // (options.chunk_split or _SPLIT))
        chunk.append(max(min(part, room), 1))
        room //= chunk[-1]
    return tuple(reversed(chunk))


def _own_choice(
    dtype: np.dtype[Any] | None, shape: tuple[int | None, ...], n_points: int | None
) -> Storage:
    """Chunk and filter as long as the session asks for nothing."""
    expected = None if n_points is None else max(n_points, 1)
    if dtype is None:
        points = TEXT_POINTS if expected is None else min(expected, TEXT_POINTS)
        return Storage((points,), Filter.NONE, "text")
    extents = _extents(shape)
    itemsize = max(dtype.itemsize, 1)
    point_bytes = math.prod(extents) * itemsize
    if expected is not None and expected * point_bytes <= SMALL_TOTAL:
        return Storage((expected, *extents), Filter.NONE, "small")
    if not shape:
        wanted = max((expected or 0) // SCALAR_CHUNKS, SMALLEST_SCALAR_CHUNK)
        points = max(min(wanted, LARGEST_SCALAR_CHUNK // itemsize), 1)
        return Storage((points,), Filter.DEFLATE, "scalars")
    if point_bytes > LARGEST_CHUNK:
        return Storage((1, *_cut(extents, itemsize)), Filter.DEFLATE, "large points")
    fitting = max(SPECTRUM_CHUNK // point_bytes, 1)
    points = fitting if expected is None else min(expected, fitting)
    reason = "varying" if None in shape else "spectra, images"
    return Storage((points, *extents), Filter.DEFLATE, reason)


def _extents(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """The shape of a point with every dimension at least 1, the varying ones guessed."""
    guess = VARYING_EXTENT if sum(size is None for size in shape) == 1 else VARYING_EXTENTS
    return tuple(guess if size is None else max(size, 1) for size in shape)


def _cut(extents: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Halve the longest dimension until a chunk of one point fits."""
    cut = list(extents)
    while math.prod(cut) * itemsize > LARGEST_CHUNK and max(cut) > 1:
        longest = cut.index(max(cut))
        cut[longest] = -(-cut[longest] // 2)
    return tuple(cut)
