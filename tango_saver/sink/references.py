"""Datasets that show frames which lie in the files of a detector.

HDF5 cannot add a source to a virtual dataset. So a longer one is made beside it and linked
in its place; the shorter one stays allocated until the next but one, so that a reader that
has just found it does not see its place being used for something else.

A table names a frame ``file::index``, relative to the folder of the target. Beside it can be
the pixels, see ``sink.pixels``.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5g, h5o, h5p, h5s, string_dtype

from tango_saver.model.plan import FrameRun, ReferenceDataset
from tango_saver.sink.nodes import (
    LINKS,
    Folders,
    clean_text,
    fill_value,
    set_attributes,
    type_in_file,
)
from tango_saver.sink.pixels import PixelWriter
from tango_saver.sink.space import FileSpace
from tango_saver.sink.statics import StaticNodes

_TEXT_DTYPE = string_dtype("utf-8")
_TABLE_CHUNK = 512
_N_COLUMNS = 5
_BYTES_PER_SOURCE = 256
"""What one run takes in the file, rounded up."""
_MISSING = {
    "description": (
        "frames whose files were missing or wrong when the scan was saved: "
        "first one, and the one after the last"
    )
}


class ReferenceWriter:
    """The dataset of one channel.

    Args:
        target: the file.
        root: its root group.
        spec: of the dataset.
        statics: makes what comes with it.
    """

    def __init__(
        self, target: Path, root: h5g.GroupID, spec: ReferenceDataset, statics: StaticNodes
    ) -> None:
        self.spec = spec
        self.n_frames = 0
        """Frames shown, missing ones among them."""
        self._columns = (_N_COLUMNS,) if spec.columns is not None else ()
        self._space = FileSpace(target)
        self._folder = os.path.realpath(target.parent)
        self._root = root
        self._statics = statics
        self._made: list[h5d.DatasetID] = []
        self._missing: list[tuple[int, int]] = []
        self._pixels = PixelWriter(root, spec.pixels, statics) if spec.pixels else None
        self._runs: list[FrameRun] = []
        self._properties: h5p.PropDCID | None = None
        self._folders: dict[str, str] = {}

    def show(
        self, runs: Sequence[FrameRun], n_frames: int, missing: Sequence[tuple[int, int]]
    ) -> None:
        """Show frames ``0`` to ``n_frames`` (excluded) from the next flush on.

        Args:
            runs: where they are, in order; frames of a virtual dataset that are in no run
                read as fill value.
            n_frames: not fewer than before.
            missing: ranges of frames that cannot be read, first and stop.

        Raises:
            OSError, RuntimeError, ValueError, TypeError, KeyError: HDF5 cannot make it.
            TargetUnusableError: the file system is full.
        """
        if not runs:
            return
        self._space.require(_BYTES_PER_SOURCE * len(runs))
        first = not self.n_frames
        if self.spec.source:
            self._put(self.spec.path, self._virtual(runs, n_frames))
        else:
            self._extend_table(runs, n_frames)
        if self._pixels is not None:
            self._pixels.show(runs, missing[0][0] if missing else n_frames)
        if list(missing) != self._missing:
            self._note_missing(missing)
        if first:
            paths = (self.spec.path, self.spec.missing)
            self._statics.create_companions(self.spec, paths)
        self.n_frames = n_frames

    @property
    def trouble(self) -> str:
        """Why not all frames are shown as pixels though that is asked for; else empty."""
        return "" if self._pixels is None else self._pixels.trouble

    def relative_name(self, file: str) -> str:
        """Name of a file as seen from the folder of the target, links followed."""
        folder, name = os.path.split(file)
        if folder not in self._folders:
            relative = os.path.relpath(os.path.realpath(folder), self._folder)
            self._folders[folder] = "" if relative == os.curdir else f"{relative}/"
        return self._folders[folder] + name

    def _virtual(self, runs: Sequence[FrameRun], n_frames: int) -> h5d.DatasetID:
        dtype, frame = self.spec.dtype, self.spec.shape
        if dtype is None:
            raise TypeError("the plan gives no data type")
        shape = (n_frames, *frame)
        properties = self._mapped(runs, dtype)
        space = h5s.create_simple(shape, (h5s.UNLIMITED,) * len(shape))
        made = h5d.create(self._root, None, type_in_file(dtype), space, properties)
        set_attributes(made, self.spec.attributes)
        return made

    def _mapped(self, runs: Sequence[FrameRun], dtype: np.dtype[Any]) -> h5p.PropDCID:
        """Of a dataset that shows these runs; only those that are new are mapped."""
        if self._properties is None or self._runs != runs[: len(self._runs)]:
            self._properties, self._runs = h5p.create(h5p.DATASET_CREATE), []
            self._properties.set_layout(h5d.VIRTUAL)
            self._properties.set_fill_value(missing_value(dtype))
        frame = self.spec.shape
        dataset, inner, flat = _escaped(self.spec.source), (0,) * len(frame), (1, *frame)
        place, piece = h5s.create_simple(flat), h5s.create_simple(flat)
        for run in runs[len(self._runs) :]:
            shape = (run.n_frames, *frame)
            # The true extents may be larger; HDF5 sees that when it reads.
            place.set_extent_simple((run.first_point + run.n_frames, *frame))
            place.select_hyperslab((run.first_point, *inner), shape)
            piece.set_extent_simple((run.first_frame + run.n_frames, *frame))
            piece.select_hyperslab((run.first_frame, *inner), shape)
            name = _escaped(self.relative_name(run.file))
            self._properties.set_virtual(place, name, dataset, piece)
        self._runs = list(runs)
        return self._properties

    def _extend_table(self, runs: Sequence[FrameRun], n_frames: int) -> None:
        if not self._made:
            properties = h5p.create(h5p.DATASET_CREATE)
            properties.set_chunk((_TABLE_CHUNK, *self._columns))
            space = h5s.create_simple((0, *self._columns), (h5s.UNLIMITED, *self._columns))
            table = h5d.create(
                self._root, None, type_in_file(np.dtype(_TEXT_DTYPE)), space, properties
            )
            set_attributes(table, self.spec.attributes)
            self._put(self.spec.path, table)
        start = self.n_frames
        rows: npt.NDArray[Any] = np.full((n_frames - start, *self._columns), b"", _TEXT_DTYPE)
        for run in runs:
            if run.first_point + run.n_frames <= start:
                continue
            name = self.relative_name(run.file)
            for offset in range(max(0, start - run.first_point), run.n_frames):
                rows[run.first_point + offset - start] = self._row(name, run.first_frame + offset)
        dataset = h5py.Dataset(self._made[-1])
        dataset.resize((n_frames, *self._columns))
        if n_frames > start:
            dataset[start:] = rows

    def _row(self, name: str, index: int) -> bytes | list[bytes]:
        if self.spec.columns is None:
            return clean_text(f"{name}::{index}")
        file_format, inside = self.spec.columns
        base = posixpath.basename(name)
        return [clean_text(part) for part in (base, file_format, str(index), inside, name)]

    def _note_missing(self, missing: Sequence[tuple[int, int]]) -> None:
        self._statics.free(self.spec.missing)
        if missing:
            ranges = np.array(missing, np.int64)
            kind = type_in_file(ranges.dtype)
            parent, name = Folders(self._root).place(self.spec.missing)
            made = h5d.create(parent, name, kind, h5s.create_simple(ranges.shape), None, LINKS)
            made.write(h5s.ALL, h5s.ALL, ranges)
            set_attributes(made, _MISSING)
        self._missing = list(missing)

    def _put(self, path: str, made: h5d.DatasetID) -> None:
        parent, name = Folders(self._root).place(path)
        self._statics.free(path)
        h5o.link(made, parent, name, lcpl=LINKS)
        self._made = [*self._made[-1:], made]


def missing_value(dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """What stands for a pixel without a value, as detectors mark them: never zero.

    NaN for floats, -1 for signed numbers, the largest number for unsigned ones.
    """
    if dtype.kind not in "iu":
        return fill_value(dtype)
    marked = np.zeros((), dtype)
    marked[...] = -1 if dtype.kind == "i" else np.iinfo(dtype).max
    return marked


def _escaped(name: str) -> bytes:
    """HDF5 takes ``%b`` in the names of sources for a number."""
    return os.fsencode(name).replace(b"%", b"%%")
