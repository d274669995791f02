"""Whether there is room for a whole scan, said when it begins."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tango_saver.errors import SaverError
from tango_saver.model.scan import ChannelKind, ScanDescription
from tango_saver.sink.paths import disk_free_bytes

NO_ROOM = "the scan may not fit on the disk"
"""How the sentence begins."""
_GB = 1e9


def expected_bytes(description: ScanDescription, channels: Iterable[str]) -> int:
    """Size of the points that a scan is going to have, before compression.

    Args:
        description: says how many there will be; a dimension that varies counts as one.
        channels: those whose points go into the file.

    Returns:
        bytes; 0 if it is not known how many points there will be.
    """
    found = [description.channels[name] for name in channels if name in description.channels]
    row = sum(
        channel.dtype.itemsize * math.prod(extent or 1 for extent in channel.shape or ())
        for channel in found
        if channel.kind is ChannelKind.NUMERIC and channel.dtype is not None
    )
    return row * (description.n_points or 0)


def no_room(description: ScanDescription, channels: Iterable[str], target: str) -> str:
    """That a scan will need more than what is free, a sentence; empty if it will not.

    Also empty if the file system does not tell: whoever writes there will say so.
    """
    n_bytes = expected_bytes(description, channels)
    if not n_bytes:
        return ""
    try:
        free = disk_free_bytes(target)
    except SaverError:
        return ""
    if n_bytes <= free:
        return ""
    return (
        f"{NO_ROOM}: its {description.n_points} points have {n_bytes / _GB:.3g} GB before "
        f"compression, {free / _GB:.3g} GB are free where {target} lies"
    )
