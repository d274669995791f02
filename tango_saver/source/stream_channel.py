"""Where the reading of one channel's stream stands; what both generations have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from tango_saver.model.records import ChannelFailed, Record
from tango_saver.model.scan import ChannelKind, ChannelSpec
from tango_saver.source.wire import RawEntry

_WITH_POINTS = frozenset({ChannelKind.NUMERIC, ChannelKind.JSON})
_UNKNOWN_SIZE = 64
"""Bytes that a value without a dtype is taken for."""


class StreamChannel(ABC):
    """One channel: takes the entries of its stream in order, gives records.

    Args:
        spec: the channel.
        position: index of the first point that is wanted. A channel without points begins at
            its start all the same: of a status only the newest counts, and a sequence is told
            all its sub-scans anew.
    """

    def __init__(self, spec: ChannelSpec, position: int) -> None:
        self.spec = spec
        self.has_points = spec.kind in _WITH_POINTS
        self.position = position if self.has_points else 0
        self.live = True
        """There is more to be read, or may be."""

    @property
    @abstractmethod
    def cursor(self) -> str:
        """Stream id to read behind: every entry from the position on comes after it."""

    @property
    @abstractmethod
    def last_before(self) -> str:
        """Largest id that an entry can have which begins before the position."""

    @abstractmethod
    def begin_inside(self, entries: Sequence[RawEntry]) -> None:
        """Make sure that an entry is read that holds the position in its middle.

        Args:
            entries: the newest entry that begins before the position, if there is one.
        """

    @abstractmethod
    def take(self, entries: Sequence[RawEntry]) -> tuple[list[Record], int]:
        """The records of a reply, and the bytes of its largest payload."""

    def fail(self, reason: str) -> ChannelFailed:
        """Read this channel no further."""
        self.live = False
        return ChannelFailed(self.spec.name, reason)


def point_size(spec: ChannelSpec) -> int:
    """Bytes of one point, as far as known before the first entry."""
    itemsize = spec.dtype.itemsize if spec.dtype is not None else _UNKNOWN_SIZE
    return itemsize * math.prod(n or 1 for n in spec.shape or ())
