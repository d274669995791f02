"""The datasets of a channel: made with its first point, then appended to."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import h5py
import msgspec
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5g, h5p, h5s, h5z, string_dtype

from tango_saver.errors import DatasetError
from tango_saver.model.plan import Filter, PointKind, StreamDataset
from tango_saver.model.records import FixedPoints, JsonPoints, Points, RaggedPoints
from tango_saver.sink.chunk_queue import ArrayForm, ChunkQueue
from tango_saver.sink.chunks import GrowingArray
from tango_saver.sink.nodes import LINKS, clean_text, fill_value, set_attributes, type_in_file

_SHORTEST_LENGTHS_CHUNK, _LONGEST_LENGTHS_CHUNK = 64, 8192
_LARGEST_PADDED = 64 << 20
"""Bytes of points that are padded to one block: what is wide and what is tall goes by itself."""
_TEXT_DTYPE = string_dtype("utf-8")


def _uncached() -> h5p.PropDAID:
    """No chunk cache: a chunk that is written past HDF5 must never be read from its memory."""
    properties = h5p.create(h5p.DATASET_ACCESS)
    properties.set_chunk_cache(1, 0, 1.0)
    return properties


_UNCACHED = _uncached()


class TextColumn:
    """A dataset ``(n_points,)`` of texts; written at the flush."""

    def __init__(self, dataset: h5d.DatasetID) -> None:
        self.length = dataset.shape[0]
        self.problem: DatasetError | None = None
        self._dataset = h5py.Dataset(dataset)
        self._pending: list[tuple[int, list[bytes]]] = []

    def append(self, texts: list[bytes]) -> None:
        """Append texts in UTF-8."""
        self._pending.append((self.length, texts))
        self.length += len(texts)

    def fill(self, n_points: int) -> None:
        """Append empty texts, which take no space."""
        self.length += n_points

    def write_partial(self) -> None:
        """Make every text visible with the next flush of the file."""
        if self._dataset.shape[0] != self.length:
            self._dataset.resize((self.length,))
        pending, self._pending = self._pending, []
        if pending:
            first = pending[0][0]
            texts = np.full(self.length - first, b"", _TEXT_DTYPE)
            for start, piece in pending:
                texts[start - first : start - first + len(piece)] = piece
            self._dataset[first:] = texts

    def complete(self) -> None:
        """Nothing is held back: every flush writes all."""

    def replace(self) -> bool:
        """Texts are never encoded."""
        return False


class StreamWriter:
    """One StreamDataset in the file, with the true extents of its points if they vary."""

    def __init__(
        self,
        spec: StreamDataset,
        column: GrowingArray | TextColumn,
        lengths: GrowingArray | None = None,
    ) -> None:
        self.spec = spec
        self.confirmed = 0
        self._column = column
        self._lengths = lengths

    @property
    def length(self) -> int:
        """Points appended."""
        return self._column.length

    @property
    def columns(self) -> tuple[GrowingArray | TextColumn, ...]:
        """The arrays in the file that make up this dataset."""
        return (self._column,) if self._lengths is None else (self._column, self._lengths)

    @property
    def problem(self) -> DatasetError | None:
        """Why nothing can be appended any more."""
        return next((column.problem for column in self.columns if column.problem), None)

    def append(self, points: Points) -> int:
        """Append points; their number of bytes.

        Raises:
            DatasetError: they are not what the plan says of the channel.
        """
        if isinstance(self._column, TextColumn):
            if not isinstance(points, JsonPoints):
                raise self._mismatch("numbers", "text")
            texts = [text_bytes(value) for value in points.values]
            self._column.append(texts)
            return sum(map(len, texts))
        if isinstance(points, JsonPoints):
            raise self._mismatch("JSON values", "numbers")
        if isinstance(points, FixedPoints):
            self._check(points.values.dtype, points.values.shape[1:])
            block = points.values
            extents = None
            n_bytes = block.nbytes
        else:
            for value in points.values:
                self._check(value.dtype, value.shape)
            if not points.values:
                return 0
            if len(points) > 1 and _padded_size(points.values) > _LARGEST_PADDED:
                half = len(points) // 2
                first, second = points.values[:half], points.values[half:]
                return self.append(RaggedPoints(first)) + self.append(RaggedPoints(second))
            block, extents = _padded(points.values, self._column.form.fill)
            n_bytes = sum(value.nbytes for value in points.values)
        # Both arrays change before either may wait for the pool.
        if self._lengths is not None:
            if extents is None:
                extents = np.tile(block.shape[1:], (len(block), 1))
            self._lengths.append(self._varying(extents))
        self._column.append(block)
        return n_bytes

    def fill(self, n_points: int) -> None:
        """Append points that were lost."""
        if self._lengths is not None:
            self._lengths.fill(n_points)
        self._column.fill(n_points)

    def _varying(self, extents: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The extents that vary, ``(n,)`` for one dimension, else ``(n, n_dimensions)``."""
        if self.spec.shape.count(None) == 1:
            return extents[:, self.spec.shape.index(None)].astype(np.int64)
        return extents.astype(np.int64)

    def _check(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        if dtype != self.spec.dtype:
            raise self._mismatch(f"points of type {dtype}", str(self.spec.dtype))
        if len(shape) != len(self.spec.shape) or any(
            planned not in (None, extent)
            for planned, extent in zip(self.spec.shape, shape, strict=True)
        ):
            raise self._mismatch(f"a point of shape {shape}", f"shape {self.spec.shape}")

    def _mismatch(self, came: str, planned: str) -> DatasetError:
        return DatasetError(
            f"{came} came for {self.spec.path}, planned was {planned}",
            channel=self.spec.channel,
            advice="Correct what the device publishes about this channel",
        )


def create_stream(root: h5g.GroupID, spec: StreamDataset, queue: ChunkQueue) -> StreamWriter:
    """Make the dataset(s) of a channel, empty.

    Raises:
        OSError, RuntimeError, ValueError, TypeError: HDF5 cannot make them.
    """
    if spec.kind is PointKind.TEXT:
        dataset = _create(root, spec.path, np.dtype(_TEXT_DTYPE), spec.storage.chunk, (0,))
        set_attributes(dataset, spec.attributes)
        return StreamWriter(spec, TextColumn(dataset))
    form = _form(spec)
    inner = _start(spec)
    dataset = _create(root, spec.path, form.dtype, form.chunk, (0, *inner), form)
    set_attributes(dataset, spec.attributes)
    lengths = None
    if None in spec.shape:
        form_of_lengths = _form_of_lengths(spec)
        extent = (0, *form_of_lengths.chunk[1:])
        made = _create(
            root,
            form_of_lengths.path,
            form_of_lengths.dtype,
            form_of_lengths.chunk,
            extent,
            form_of_lengths,
        )
        lengths = GrowingArray(made, form_of_lengths, queue, extent[1:])
    return StreamWriter(spec, GrowingArray(dataset, form, queue, inner), lengths)


def resume_stream(
    root: h5g.GroupID, spec: StreamDataset, queue: ChunkQueue, confirmed: int
) -> StreamWriter | None:
    """Cut the dataset(s) of a channel to the confirmed length; None if nothing is left.

    Raises:
        OSError, RuntimeError, ValueError, TypeError, KeyError: HDF5 cannot read or cut them.
    """
    paths = [spec.path] + ([lengths_path(spec)] if None in spec.shape else [])
    there = [h5d.open(root, path.encode(), _UNCACHED) for path in paths if _is_dataset(root, path)]
    length = min([confirmed, *(dataset.shape[0] for dataset in there)])
    if not length or len(there) < len(paths):
        del there
        for path in paths:
            if _is_dataset(root, path):
                root.unlink(path.encode())
        return None
    if spec.kind is PointKind.TEXT:
        there[0].set_extent((length,))
        writer = StreamWriter(spec, TextColumn(there[0]))
    else:
        forms = [_form(spec)] + ([_form_of_lengths(spec)] if None in spec.shape else [])
        arrays = [
            _cut(dataset, form, queue, length) for dataset, form in zip(there, forms, strict=True)
        ]
        writer = StreamWriter(spec, *arrays)
    return writer


def lengths_path(spec: StreamDataset) -> str:
    """Where the true extents of points lie."""
    return f"{spec.path}_lengths"


def _cut(dataset: h5d.DatasetID, form: ArrayForm, queue: ChunkQueue, length: int) -> GrowingArray:
    """Cut at the begin of a chunk, for there HDF5 reads and writes nothing itself."""
    found = dataset.get_create_plist().get_chunk()
    if found != form.chunk or dataset.dtype != form.dtype:
        raise ValueError(f"the dataset has {dataset.dtype} in chunks {found}, not as planned")
    form = replace(form, checksum=_has_checksum(dataset))
    inner = dataset.shape[1:]
    whole = length // form.chunk[0] * form.chunk[0]
    rest = h5py.Dataset(dataset)[whole:length]
    dataset.set_extent((whole, *inner))
    array = GrowingArray(dataset, form, queue, inner)
    array.adopt(whole, rest)
    return array


def _has_checksum(dataset: h5d.DatasetID) -> bool:
    """As it was made, whatever is wanted by now."""
    properties = dataset.get_create_plist()
    filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    return h5z.FILTER_FLETCHER32 in filters


def _is_dataset(root: h5g.GroupID, path: str) -> bool:
    return isinstance(h5py.Group(root).get(path), h5py.Dataset)


def _form(spec: StreamDataset) -> ArrayForm:
    if spec.dtype is None:
        raise TypeError("the plan gives no data type")
    return ArrayForm(
        spec.path,
        spec.channel,
        spec.dtype,
        spec.storage.chunk,
        fill_value(spec.dtype),
        spec.storage.filter,
        spec.storage.checksum,
    )


def _form_of_lengths(spec: StreamDataset) -> ArrayForm:
    rows = min(max(spec.storage.chunk[0], _SHORTEST_LENGTHS_CHUNK), _LONGEST_LENGTHS_CHUNK)
    inner = () if spec.shape.count(None) == 1 else (len(spec.shape),)
    dtype = np.dtype(np.int64)
    return ArrayForm(
        lengths_path(spec),
        spec.channel,
        dtype,
        (rows, *inner),
        fill_value(dtype),
        Filter.NONE,
        spec.storage.checksum,
    )


def _start(spec: StreamDataset) -> tuple[int, ...]:
    return tuple(extent or 0 for extent in spec.shape)


def _create(
    root: h5g.GroupID,
    path: str,
    dtype: np.dtype[Any],
    chunk: tuple[int, ...],
    extent: tuple[int, ...],
    form: ArrayForm | None = None,
) -> h5d.DatasetID:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk(chunk)
    access = None
    if form is not None:
        access = _UNCACHED
        _add_filter(properties, form.filter)
        if form.checksum:
            properties.set_fletcher32()
        if dtype.kind in "fc":
            properties.set_fill_value(form.fill)
    space = h5s.create_simple(extent, (h5s.UNLIMITED,) * len(extent))
    kind = type_in_file(dtype)
    return h5d.create(root, path.encode(), kind, space, properties, LINKS, access)


def _add_filter(properties: h5p.PropDCID, chosen: Filter) -> None:
    if chosen in (Filter.DEFLATE, Filter.SHUFFLE):
        properties.set_shuffle()
    if chosen in (Filter.DEFLATE, Filter.GZIP):
        properties.set_deflate(1)
    if chosen in (Filter.BITSHUFFLE, Filter.BITSHUFFLE_LZ4):
        from tango_saver.sink.bitshuffle import (  # noqa: PLC0415 - loads plugins that few ask for
            add_filter,
        )

        add_filter(properties, chosen)


def _padded_size(values: tuple[npt.NDArray[Any], ...]) -> int:
    """Bytes of points that are padded to the longest along each dimension."""
    extents = [max(extent) for extent in zip(*(value.shape for value in values), strict=True)]
    return int(len(values) * math.prod(extents) * values[0].dtype.itemsize)


def _padded(
    values: tuple[npt.NDArray[Any], ...], fill: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Points as one block, padded to the longest, and their extents ``(n, n_dimensions)``."""
    extents = np.array([value.shape for value in values], np.int64)
    block = np.full((len(values), *extents.max(axis=0)), fill, values[0].dtype)
    for row, value in zip(block, values, strict=True):
        row[tuple(slice(0, extent) for extent in value.shape)] = value
    return block, extents


def text_bytes(value: Any) -> bytes:
    """A JSON value as it lies in the file, UTF-8."""
    return clean_text(value if isinstance(value, str) else msgspec.json.encode(value).decode())
