"""Arrays that grow by points and are written in whole chunks, past HDF5's own buffers.

A full chunk is encoded by the pool and written once. A chunk that is not yet full is
written unencoded (the filters masked out), always in the same place, so that a reader
finds every earlier point intact whatever moment it looks; it is replaced by its encoded
form in the flush after it became full. HDF5's chunk cache never sees any of these chunks.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5d

from tango_saver.errors import DatasetError
from tango_saver.model.plan import Filter
from tango_saver.sink.chunk_queue import ArrayForm, ChunkQueue
from tango_saver.sink.encoding import inner_offsets, whole_chunk

_LARGEST_SLAB = 512 << 20
"""Bytes of the chunks that are not full, per array: a point of absurd size costs its channel."""
_N_FILTERS = {Filter.NONE: 0, Filter.DEFLATE: 2}
"""In HDF5's pipeline, without that of the checksum; 1 where it is none of these."""


@dataclass(slots=True)
class _Slab:
    """The points of the row of chunks that is not full yet."""

    values: npt.NDArray[Any]
    """``(chunk[0], *whole inner chunks)``; arbitrary where nothing was appended."""
    used: int = 0
    """Points appended."""
    written: int = 0
    """Points in the file."""
    places: dict[tuple[int, ...], int] = field(default_factory=dict)
    """Inner offset of a chunk that is in the file, unencoded -> its address there."""


class GrowingArray:
    """A dataset ``(n_points, *inner)``; both ``n_points`` and ``inner`` may grow.

    ``problem`` is set when a chunk could not be written, and ends the array's life.
    """

    def __init__(
        self, dataset: h5d.DatasetID, form: ArrayForm, queue: ChunkQueue, inner: tuple[int, ...]
    ) -> None:
        self.form = form
        self.length = 0
        self.inner = inner
        self.problem: DatasetError | None = None
        self._dataset = dataset
        self._queue = queue
        self._extent: tuple[int, ...] = ()
        self._slab: _Slab | None = None
        self._replacements: list[tuple[tuple[int, ...], bytes]] = []

    def append(self, block: npt.NDArray[Any]) -> None:
        """Append points ``(n, *inner)``; narrower ones are padded with the fill value.

        The block must never change afterwards.
        """
        self._widen(block.shape[1:])
        rows = self.form.chunk[0]
        done = 0
        while done < len(block):
            taken = min(rows - self._used, len(block) - done)
            piece = block[done : done + taken]
            done += taken
            if taken == rows:
                self.length += taken
                self._hand_over(piece, self.length - rows, self.length)
            else:
                self._keep(piece)

    def fill(self, n_points: int) -> None:
        """Append points of the fill value; whole chunks of them take no space."""
        rows = self.form.chunk[0]
        if self._used:
            first = min(rows - self._used, n_points)
            self._keep(self._filled(first))
            n_points -= first
        self.length += n_points // rows * rows
        if n_points % rows:
            self._keep(self._filled(n_points % rows))

    def adopt(self, length: int, rest: npt.NDArray[Any]) -> None:
        """Go on behind ``length`` points that are in the file, then the ``rest`` of a chunk."""
        self.length = length
        self._extent = (length, *self.inner)
        if len(rest):
            self._keep(rest)

    def write_partial(self) -> None:
        """Make every point visible with the next flush of the file; drain the queue first."""
        if self._slab is not None:
            self._write_slab(self._slab)
        self._extend(self.length)

    def complete(self) -> None:
        """Encode the last chunk as it is; nothing may be appended any more."""
        if self._slab is not None and self._encodes:
            self._complete()

    def replace(self) -> bool:
        """Put encoded chunks in the place of visible ones; whether there were any.

        From here to the end of the next flush, the file on disk may name a place that was
        written anew: nothing may come between.
        """
        replacements, self._replacements = self._replacements, []
        for offset, encoded in replacements:
            self._dataset.write_direct_chunk(offset, encoded)
        return bool(replacements)

    def encoded(self, offset: tuple[int, ...], end: int, encoded: bytes, replaces: bool) -> None:
        """Take a chunk back from the pool."""
        if replaces:
            plain_size = math.prod(self.form.chunk) * self.form.dtype.itemsize
            if self.form.checksum or len(encoded) < plain_size:
                self._replacements.append((offset, encoded))
            return
        self._queue.space.require(len(encoded))
        self._extend(end)
        self._dataset.write_direct_chunk(offset, encoded)

    def _filled(self, n_points: int) -> npt.NDArray[Any]:
        return np.broadcast_to(self.form.fill, (n_points, *self.inner))

    def _widen(self, inner: tuple[int, ...]) -> None:
        self.inner = tuple(map(max, self.inner, inner))

    @property
    def _encodes(self) -> bool:
        return self.form.filter is not Filter.NONE or self.form.checksum

    @property
    def _used(self) -> int:
        return 0 if self._slab is None else self._slab.used

    def _keep(self, piece: npt.NDArray[Any]) -> None:
        """Copy points into the slab, which they do not overfill."""
        slab = self._roomy_slab(piece.shape[1:])
        place = slab.values[slab.used : slab.used + len(piece)]
        if place.shape != piece.shape:
            place[...] = self.form.fill
        place[(slice(None), *(slice(0, extent) for extent in piece.shape[1:]))] = piece
        slab.used += len(piece)
        self.length += len(piece)
        if slab.used == self.form.chunk[0]:
            self._complete()

    def _roomy_slab(self, inner: tuple[int, ...]) -> _Slab:
        whole = tuple(
            -(-extent // step) * step
            for extent, step in zip(inner, self.form.chunk[1:], strict=True)
        )
        slab = self._slab
        if slab is not None:
            whole = tuple(map(max, whole, slab.values.shape[1:]))
            if whole == slab.values.shape[1:]:
                return slab
        shape = (self.form.chunk[0], *whole)
        if math.prod(shape) * self.form.dtype.itemsize > _LARGEST_SLAB:
            raise ValueError(f"points of shape {inner} are too large for chunks {self.form.chunk}")
        values = np.empty(shape, self.form.dtype)
        if slab is None:
            slab = self._slab = _Slab(values)
        else:
            values[: slab.used] = self.form.fill
            narrow = (slice(0, extent) for extent in slab.values.shape[1:])
            values[(slice(0, slab.used), *narrow)] = slab.values[: slab.used]
            slab.values = values
        return slab

    def _complete(self) -> None:
        """The slab is full, or the last: hand it over."""
        slab, self._slab = self._slab, None
        if slab is None:
            return
        start = self.length - slab.used
        if slab.places:
            self._write_slab(slab)
        else:
            slab.values[slab.used :] = self.form.fill
        if self._encodes or not slab.places:
            self._hand_over(slab.values, start, self.length, replaces=bool(slab.places))

    def _hand_over(
        self, values: npt.NDArray[Any], start: int, end: int, *, replaces: bool = False
    ) -> None:
        """Write a row of chunks for good; the state is that of after it."""
        offsets = inner_offsets(values.shape[1:], self.form.chunk)
        if not self._encodes:
            self._queue.space.require(values.nbytes)
            self._extend(end)
            for inner in offsets:
                self._dataset.write_direct_chunk((start, *inner), self._plain(values, inner))
            return
        for inner in offsets:
            block = partial(self._block, values, inner)
            self._queue.submit(self, (start, *inner), end, block, replaces)
        self._queue.make_room()

    def _write_slab(self, slab: _Slab) -> None:
        """Put the slab's new points into the file, where they stay until its chunk is full.

        The first time the whole chunk is written, for its place; later only what is new.
        """
        if slab.written == slab.used:
            return
        start = self.length - slab.used
        offsets = inner_offsets(slab.values.shape[1:], self.form.chunk)
        self._queue.space.require(slab.values.nbytes if not slab.places else 0)
        self._extend(self.length)
        if len(slab.places) < len(offsets):
            slab.values[slab.used :] = self.form.fill
        for inner in offsets:
            place = slab.places.get(inner)
            if place is None:
                n_filters = _N_FILTERS.get(self.form.filter, 1) + self.form.checksum
                mask = (1 << n_filters) - 1
                block = self._plain(slab.values, inner)
                self._dataset.write_direct_chunk((start, *inner), block, mask)
                stored = self._dataset.get_chunk_info_by_coord((start, *inner))
                slab.places[inner] = stored.byte_offset
            else:
                new = slab.values[(slice(slab.written, slab.used), *self._window(inner))]
                row = math.prod(self.form.chunk[1:]) * self.form.dtype.itemsize
                _write_at(self._queue.descriptor, new, place + slab.written * row)
        slab.written = slab.used

    def _block(self, values: npt.NDArray[Any], inner: tuple[int, ...]) -> npt.NDArray[Any]:
        block = values[(slice(None), *self._window(inner))]
        return whole_chunk(block, self.form.chunk, self.form.fill)

    def _window(self, inner: tuple[int, ...]) -> tuple[slice, ...]:
        steps = self.form.chunk[1:]
        return tuple(slice(at, at + step) for at, step in zip(inner, steps, strict=True))

    def _plain(self, values: npt.NDArray[Any], inner: tuple[int, ...]) -> npt.NDArray[Any]:
        return np.ascontiguousarray(self._block(values, inner))

    def _extend(self, end: int) -> None:
        extent = (max(end, self._extent[0] if self._extent else 0), *self.inner)
        if extent != self._extent:
            self._dataset.set_extent(extent)
            self._extent = extent


def _write_at(descriptor: int, block: npt.NDArray[Any], place: int) -> None:
    rest = memoryview(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
    while rest:
        written = os.pwrite(descriptor, rest, place)
        rest, place = rest[written:], place + written
