"""Frames of EDF files as pixels: HDF5 reads them where they lie.

HDF5 looks for a relative name of such a file where the reader was started, so names are
absolute: once the files are moved the pixels cannot be read, and the table beside them is what
is left. That is why the pixels are made only where they are asked for.

One dataset holds some 2700 pieces of other files (HDF5's limit for a message in an object
header); longer ones are a virtual dataset over parts in the same file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from h5py import h5d, h5g, h5o, h5p, h5s

from tango_saver.model.plan import FrameRun, Group, PixelDataset
from tango_saver.sink.edf import EdfError, EdfFrame, edf_frames
from tango_saver.sink.nodes import LINKS, Folders, set_attributes, type_in_file
from tango_saver.sink.statics import StaticNodes

FRAMES_PER_PART = 2000


class PixelWriter:
    """The pixels of one channel, as far as they can be shown without a hole.

    Args:
        root: root group of the file.
        spec: of the dataset.
        statics: makes what comes with it.
    """

    def __init__(self, root: h5g.GroupID, spec: PixelDataset, statics: StaticNodes) -> None:
        self.spec = spec
        self.n_frames = 0
        """Frames shown."""
        self.trouble = ""
        """Why no more are, one sentence; empty if all are."""
        self._root = root
        self._statics = statics
        self._dtype: np.dtype[Any] | None = None
        self._places: list[tuple[bytes, EdfFrame]] = []
        self._parts: list[h5d.DatasetID] = []
        self._given_up = False
        self._shown: list[h5d.DatasetID] = []

    def show(self, runs: Sequence[FrameRun], stop: int) -> None:
        """Show frames ``0`` to ``stop`` (excluded), as far as their files allow.

        Args:
            runs: where frames are, in order, from the first on.
            stop: before the first frame that is missing.

        What HDF5 refuses costs the pixels alone, and is among the warnings of the statics.

        Raises:
            TargetUnusableError: the file cannot be written.
        """
        if self._given_up:
            return
        n_warnings = len(self._statics.warnings)
        with self._statics.costs_itself(self.spec.path):
            self._find(runs, stop)
            if len(self._places) > self.n_frames:
                self._show()
        self._given_up = len(self._statics.warnings) > n_warnings

    def _show(self) -> None:
        self._put(self._made())
        if not self.n_frames:
            self._statics.create_companions(self.spec, (self.spec.path,))
        self.n_frames = len(self._places)

    def _find(self, runs: Sequence[FrameRun], stop: int) -> None:
        """Look up frames that are new."""
        self.trouble = ""
        for run in runs:
            known = len(self._places) - run.first_point
            if known >= run.n_frames:
                continue
            n_wanted = min(run.n_frames, stop - run.first_point)
            try:
                self._take(run, known, n_wanted)
            except (EdfError, OSError) as error:
                self.trouble = (
                    f"channel {self.spec.channel}: frames from {len(self._places)} on are not "
                    f"shown as pixels: {run.file} {error}"
                )
            if len(self._places) < run.first_point + run.n_frames:
                return

    def _take(self, run: FrameRun, known: int, n_wanted: int) -> None:
        name = os.fsencode(run.file)
        wanted = islice(
            edf_frames(run.file), run.first_frame + known, run.first_frame + max(known, n_wanted)
        )
        for frame in wanted:
            difference = frame.difference(self.spec)
            if not difference and frame.dtype != (self._dtype or frame.dtype):
                difference = "has another byte order than the files before it"
            if difference:
                raise EdfError(difference)
            self._dtype = frame.dtype
            self._places.append((name, frame))

    def _made(self) -> h5d.DatasetID:
        """A dataset of all frames found."""
        starts = range(0, len(self._places), FRAMES_PER_PART)
        if len(starts) == 1:
            made = self._external(self._places)
            set_attributes(made, self.spec.attributes)
            return made
        self._statics.create([Group(self.spec.parts, {"NX_class": "NXcollection"})])
        n_complete = self.n_frames // FRAMES_PER_PART if self._parts else 0
        for index in range(n_complete, len(starts)):
            self._put_part(index, self._external(self._places[starts[index] :][:FRAMES_PER_PART]))
        made = self._over_the_parts(len(starts))
        set_attributes(made, self.spec.attributes)
        return made

    def _external(self, places: Sequence[tuple[bytes, EdfFrame]]) -> h5d.DatasetID:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_layout(h5d.CONTIGUOUS)
        for name, frame in places:
            properties.set_external(name, frame.offset, frame.n_bytes)
        space = h5s.create_simple((len(places), *self.spec.shape))
        return h5d.create(self._root, None, self._type(), space, properties)

    def _over_the_parts(self, n_parts: int) -> h5d.DatasetID:
        n_frames, frame = len(self._places), self.spec.shape
        inner = (0,) * len(frame)
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_layout(h5d.VIRTUAL)
        place = h5s.create_simple((n_frames, *frame))
        for index in range(n_parts):
            start = index * FRAMES_PER_PART
            extent = (min(FRAMES_PER_PART, n_frames - start), *frame)
            place.select_hyperslab((start, *inner), extent)
            source = self._part_path(index).encode()
            properties.set_virtual(place, b".", source, h5s.create_simple(extent))
        return h5d.create(self._root, None, self._type(), place, properties)

    def _type(self) -> Any:
        if self._dtype is None:
            raise TypeError("no frame was found")
        return type_in_file(self._dtype)

    def _part_path(self, index: int) -> str:
        return f"{self.spec.parts}/{index}"

    def _put_part(self, index: int, made: h5d.DatasetID) -> None:
        path = self._part_path(index)
        parent, name = Folders(self._root).place(path)
        self._statics.free(path)
        h5o.link(made, parent, name, lcpl=LINKS)
        self._parts = [*self._parts[-1:], made]

    def _put(self, made: h5d.DatasetID) -> None:
        """As for all datasets of frames, the shorter one before stays for those who read it."""
        parent, name = Folders(self._root).place(self.spec.path)
        self._statics.free(self.spec.path)
        h5o.link(made, parent, name, lcpl=LINKS)
        self._shown = [*self._shown[-1:], made]
