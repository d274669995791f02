"""What a source yields for one scan, in this order.

    ScanOpened  (PointsArrived | GapFound | ChannelEnded | ChannelFailed | FramesReferenced
                 | SubscanAnnounced)*
    ScanClosed

``ScanOpened`` comes once, when the scan is prepared (or closed without ever
having been). Points of one channel come in order and without overlap; channels
are independent of each other. ``ScanClosed`` comes last, after every point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt

from tango_saver.model.scan import Json, ScanDescription, ScanKey

_JSON_SIZE = 100


@dataclass(frozen=True, slots=True)
class FixedPoints:
    """Points that all have the same shape."""

    values: npt.NDArray[Any]
    """Shape ``(n_points, *point_shape)``; dtype with the byte order of the channel."""

    def __len__(self) -> int:
        return int(self.values.shape[0])


@dataclass(frozen=True, slots=True)
class RaggedPoints:
    """Points whose shapes differ."""

    values: tuple[npt.NDArray[Any], ...]
    """One array per point, all of the channel's dtype and number of dimensions."""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class JsonPoints:
    """Points of a json channel."""

    values: tuple[Json, ...]

    def __len__(self) -> int:
        return len(self.values)


Points: TypeAlias = FixedPoints | RaggedPoints | JsonPoints


def behind(points: Points, n_points: int) -> Points:
    """The points without the first ones."""
    if not n_points:
        return points
    match points:
        case FixedPoints(array):
            return FixedPoints(array[n_points:])
        case RaggedPoints(arrays):
            return RaggedPoints(arrays[n_points:])
        case JsonPoints(values):
            return JsonPoints(values[n_points:])


def size_of(points: Points) -> int:
    """Bytes that points take in memory, about: a json value is taken for 100."""
    match points:
        case FixedPoints(array):
            return array.nbytes
        case RaggedPoints(arrays):
            return sum(array.nbytes for array in arrays)
        case JsonPoints(values):
            return len(values) * _JSON_SIZE


@dataclass(frozen=True, slots=True)
class ScanOpened:
    """The scan can be laid out: all its channels are known."""

    description: ScanDescription


@dataclass(frozen=True, slots=True)
class PointsArrived:
    """Points ``first`` to ``first + len(points)`` of a channel."""

    channel: str
    first: int
    points: Points


@dataclass(frozen=True, slots=True)
class FramesReferenced:
    """The newest status of a channel whose images are kept outside Redis."""

    channel: str
    status: Json


@dataclass(frozen=True, slots=True)
class SubscanAnnounced:
    """A scan that belongs to this one, a sequence; every one of them comes, in order."""

    channel: str
    index: int
    """Counts the sub-scans of the sequence."""
    key: ScanKey
    number: int


@dataclass(frozen=True, slots=True)
class GapFound:
    """Points ``first`` to ``stop`` (excluded) were dropped by Redis before we could read them."""

    channel: str
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class ChannelEnded:
    """The channel is sealed; ``n_points`` is the number that was published."""

    channel: str
    n_points: int


@dataclass(frozen=True, slots=True)
class ChannelFailed:
    """The channel cannot be read any further; the scan goes on without it."""

    channel: str
    reason: str


@dataclass(frozen=True, slots=True)
class ScanClosed:
    """The end; ``description.end_reason`` says why."""

    description: ScanDescription


Record: TypeAlias = (
    ScanOpened
    | PointsArrived
    | FramesReferenced
    | SubscanAnnounced
    | GapFound
    | ChannelEnded
    | ChannelFailed
    | ScanClosed
)
