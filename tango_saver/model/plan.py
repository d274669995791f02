"""A file plan: what a scan becomes in its file, as data.

Paths are absolute inside the file (``/1.1/instrument/robx``), parents before
children. A plan holds no Redis and no HDF5; it can be printed and compared.
"""

from __future__ import annotations

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


Node: TypeAlias = Group | Value | SoftLink | ExternalLink | ReshapedView


class Filter(Enum):
    """How the chunks of a dataset are stored."""

    NONE = "none"
    DEFLATE = "shuffle+deflate"


@dataclass(frozen=True, slots=True)
class Storage:
    """How the points of a channel lie in the file."""

    chunk: tuple[int, ...]
    """``(n_points, *point_shape)`` of one chunk, every dimension at least 1."""
    filter: Filter = Filter.NONE
    reason: str = ""
    """The rule that decided, one short phrase; shown by ``explain``."""


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
    last: tuple[Node, ...] = ()
    """Written after all else is on disk (``end_time``), and flushed on its own."""
    final_root_attributes: Attributes = field(default_factory=dict)
    """Set with ``last`` (the root's ``default``)."""
    warnings: tuple[str, ...] = ()
    """What the layout had to leave out, each one sentence."""
