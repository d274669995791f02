"""A file plan: what a scan becomes in its file, as data.

Paths are absolute inside the file (``/1.1/instrument/robx``), parents before
children. A plan holds no Redis and no HDF5; it can be printed and compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Scalar: TypeAlias = bool | int | float | complex | str
StaticValue: TypeAlias = Scalar | tuple[str, ...] | npt.NDArray[Any]
"""Text becomes variable-length UTF-8; a tuple of texts an array of such; numbers the
64-bit types of HDF5; an array keeps its dtype and shape."""

Attributes: TypeAlias = Mapping[str, StaticValue]


@dataclass(frozen=True, slots=True)
class Group:
    """A group with its attributes (``NX_class`` among them).

    If the group exists already, the attributes are set on it: so a companion can give
    its entry the ``default``.
    """

    path: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Value:
    """A dataset whose value is known when the plan is made."""

    path: str
    value: StaticValue
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SoftLink:
    """A link inside the file; ``target`` absolute, or relative to the link's group."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class ExternalLink:
    """A link into another file; ``file`` relative to the folder of the plan's target."""

    path: str
    file: str
    target: str


@dataclass(frozen=True, slots=True)
class ReshapedView:
    """The first points of a flat channel, seen on the grid of a mesh scan.

    A virtual dataset of one mapping: all of ``shape`` onto points 0 to ``prod(shape)`` of
    ``source`` (a hyperslab of that length, not the whole source: only then may the source
    still be shorter). It may thus be made with the source's first point, and shows what is
    there; points that are missing read as the fill value of the source (NaN for floats).
    """

    path: str
    source: str
    """Absolute path of a StreamDataset of scalar points in the same file; dtype as there."""
    shape: tuple[int, ...]
    """Slow dimension first, every one at least 1."""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FirstPoints:
    """A copy of the first points of a channel, for readers that take no view for an array.

    Only among the nodes of ``FilePlan.last``: the points are in the file by then.
    """

    path: str
    source: str
    """Absolute path of a StreamDataset of scalar numbers in the same file; dtype as there."""
    n_points: int
    """At most as many as the source has."""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """Elements of an array, chosen as HDF5 does it: blocks at regular distances.

    One number per dimension each: ``count`` blocks of ``block`` elements, the first at
    ``start``, each next one ``stride`` further.
    """

    start: tuple[int, ...]
    count: tuple[int, ...]
    stride: tuple[int, ...]
    block: tuple[int, ...]

    @property
    def n_points(self) -> int:
        """How many elements are chosen."""
        return math.prod(self.count) * math.prod(self.block)

    @property
    def stop(self) -> tuple[int, ...]:
        """The smallest shape that holds every element."""
        return tuple(
            start + (count - 1) * stride + block if count else 0
            for start, count, stride, block in zip(
                self.start, self.count, self.stride, self.block, strict=True
            )
        )


@dataclass(frozen=True, slots=True)
class VirtualSource:
    """Where a part of a virtual dataset really lies; both selections are equally large."""

    file: str
    """Relative to the folder of the plan's target, or absolute; ``.`` is the target itself."""
    dataset: str
    source: Selection
    """In the source."""
    selection: Selection
    """In the virtual dataset."""


@dataclass(frozen=True, slots=True)
class VirtualDataset:
    """A dataset that shows parts of others; what no source gives reads as fill value."""

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    sources: tuple[VirtualSource, ...]
    """At least one."""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExternalFile:
    """A piece of a file that holds nothing but values."""

    name: str
    """Absolute: HDF5 looks for a relative name where the reader was started."""
    offset: int
    """Bytes."""
    size: int | None
    """Bytes; None for all that follows."""


@dataclass(frozen=True, slots=True)
class ExternalBinary:
    """A dataset whose values lie in other files, one after the other, in C order."""

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    files: tuple[ExternalFile, ...]
    attributes: Attributes = field(default_factory=dict)


Node: TypeAlias = (
    Group
    | Value
    | SoftLink
    | ExternalLink
    | ReshapedView
    | FirstPoints
    | VirtualDataset
    | ExternalBinary
)


class Filter(Enum):
    """How the chunks of a dataset are stored."""

    NONE = "none"
    DEFLATE = "shuffle+deflate"
    GZIP = "deflate"
    SHUFFLE = "shuffle"
    BITSHUFFLE = "bitshuffle"
    """To be read with the package hdf5plugin, like the next."""
    BITSHUFFLE_LZ4 = "bitshuffle+lz4"


@dataclass(frozen=True, slots=True)
class Storage:
    """How the points of a channel lie in the file."""

    chunk: tuple[int, ...]
    """``(n_points, *point_shape)`` of one chunk, every dimension at least 1."""
    filter: Filter = Filter.NONE
    reason: str = ""
    """The rule that decided, one short phrase; shown by ``explain``."""
    checksum: bool = False
    """Every full chunk has a checksum (Fletcher32), which readers verify by themselves."""


class PointKind(Enum):
    """What one point is in the file."""

    NUMERIC = "numeric"
    """``dtype`` and ``shape`` say all."""
    TEXT = "text"
    """Variable-length UTF-8; a JSON value that is no text is stored as its JSON text."""


@dataclass(frozen=True, slots=True)
class StreamDataset:
    """The dataset that the points of a channel are appended to.

    It is made with the channel's first point, and ``companions`` with it: a channel
    that stays empty leaves no trace in the file.
    """

    path: str
    channel: str
    kind: PointKind
    dtype: np.dtype[Any] | None
    """As published, byte order included; None for TEXT."""
    shape: tuple[int | None, ...]
    """Of one point; None for a dimension that varies from point to point: rows are padded
    with the fill value to the longest, and a dataset ``<path>_lengths`` holds the true
    extents, ``(n_points,)`` for one varying dimension, ``(n_points, n_dimensions)`` for more."""
    storage: Storage
    attributes: Attributes = field(default_factory=dict)
    companions: tuple[Node, ...] = ()
    """Links and groups made together with the dataset, in this order; a companion replaces
    a static Value of the same path (a positioner's start value becomes the link)."""
    at_once: bool = False
    """Made with the entries, still empty, instead of with the first point."""
    reason: str = ""
    """The rule that placed it, one short phrase; shown by ``explain``."""


@dataclass(frozen=True, slots=True)
class FrameRun:
    """Frames of a channel that lie one after the other in one file of the detector."""

    file: str
    """Absolute path."""
    first_frame: int
    """Index in the file."""
    n_frames: int
    first_point: int
    """Index in the channel."""


@dataclass(frozen=True, slots=True)
class PixelDataset:
    """The pixels ``(n_frames, *shape)`` of frames in EDF files, which HDF5 reads where they lie.

    The names of the files are absolute. It ends before the first frame that cannot be shown.
    """

    path: str
    channel: str
    parts: str
    """Path of the group for the parts of a long one, ``(2000, *shape)`` each."""
    dtype: np.dtype[Any]
    """Of one value, as published; the byte order is that of the files."""
    shape: tuple[int, ...]
    """Of one frame: rows, columns."""
    attributes: Attributes = field(default_factory=dict)
    companions: tuple[Node, ...] = ()
    """As those of a StreamDataset."""


@dataclass(frozen=True, slots=True)
class ReferenceDataset:
    """The dataset that shows the frames a detector saved itself; no pixel is copied.

    Frames in HDF5 files are a virtual dataset ``(n_frames, *shape)`` over them, all others a
    table ``(n_frames,)`` of texts ``file::frame``. File names are relative to the folder of
    the target. It is made with the first frame that can be read, and grows with them.
    """

    path: str
    channel: str
    dtype: np.dtype[Any] | None
    """Of one value, as published; None for a table."""
    shape: tuple[int, ...]
    """Of one frame, ``()`` for a table."""
    source: str
    """Path of the dataset in every HDF5 file, empty for a table."""
    missing: str
    """Path of a dataset ``(n_ranges, 2)`` that is made if frames are missing: first one, and
    the one after the last. Virtual datasets read there as fill value."""
    attributes: Attributes = field(default_factory=dict)
    companions: tuple[Node, ...] = ()
    """As those of a StreamDataset."""
    columns: tuple[str, str] | None = None
    """Format of the files and dataset in each: the table has five columns ``(n_frames, 5)``
    instead: name of the file without folder, format, index in the file, dataset, file name."""
    pixels: PixelDataset | None = None
    """Made beside a table."""
    reason: str = ""
    """The rule that decided, one short phrase; shown by ``explain``."""


@dataclass(frozen=True, slots=True)
class LinkFromElsewhere:
    """A link to an entry of the scan, in the root of a file that many scans share."""

    file: str
    """Absolute path; not yet checked."""
    link: ExternalLink
    """Relative to the folder of that file."""
    root_attributes: Attributes = field(default_factory=dict)
    """Set if the file has to be made."""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """One scan in one file."""

    target: str
    """Absolute path of the file."""
    entries: tuple[str, ...]
    """Names of the NXentry groups, ``1.1``; refused if the file has one of them already."""
    root_attributes: Attributes = field(default_factory=dict)
    """Set on a new file only."""
    nodes: tuple[Node, ...] = ()
    """Everything but the channels, parents before children."""
    streams: Mapping[str, tuple[StreamDataset, ...]] = field(default_factory=dict)
    """Channel name -> its dataset(s)."""
    references: Mapping[str, ReferenceDataset] = field(default_factory=dict)
    """Channel name -> the dataset that shows the frames its detector saves."""
    last: tuple[Node, ...] = ()
    """Written after all else is on disk, and flushed on its own; ``end_time`` is the last."""
    final_root_attributes: Attributes = field(default_factory=dict)
    """Set with ``last`` (the root's ``default``)."""
    warnings: tuple[str, ...] = ()
    """What the layout had to leave out, each one sentence."""
    exact: bool = False
    """Whether nodes of an earlier plan of the scan that this one lacks are removed. Points
    are never: a stream dataset stays."""
    further: tuple[FilePlan, ...] = ()
    """The same scan in other files. They have no further ones; their targets are as published
    and not yet checked."""
    links_from_elsewhere: tuple[LinkFromElsewhere, ...] = ()
    """Made once the entries are there. That such a file cannot be written costs the link alone."""

    @property
    def channels(self) -> frozenset[str]:
        """Names of the channels that have a dataset, in this file or in a further one."""
        return frozenset(self.streams).union(*(plan.streams for plan in self.further))
