"""Whether a file can be written where it lies, asked without touching it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tango_saver.sink.space import LEAST_FREE


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file was found when it was written last."""

    path: Path
    device: int
    """Number of its file system."""

    @classmethod
    def of(cls, path: Path) -> Place | None:
        """The place of a file; None if there is no such file."""
        try:
            return cls(path, path.stat().st_dev)
        except OSError:
            return None


def why_not(path: Path, least_free: float, before: Place | None = None) -> str:
    """Why a file cannot be written now, one short sentence; empty if nothing speaks against it.

    Args:
        path: of the file, which may have to be made, with its folders.
        least_free: bytes that must be free, in addition to what closing a file needs.
        before: where it was when it was written last: a folder that is empty because its file
            system is not mounted any more must not be filled.
    """
    try:
        if before is not None and not path.exists():
            folder = _existing(path)
            if folder != path.parent or folder.stat().st_dev != before.device:
                return f"{path} has vanished, its file system is not mounted"
        place = _existing(path)
        if not os.access(place, os.W_OK):
            return f"{place} cannot be written"
        status = os.statvfs(place)
    except OSError as error:
        return f"{path} cannot be looked at: {error.strerror or error}"
    free = status.f_bavail * status.f_frsize
    if free < least_free + LEAST_FREE:
        return f"only {free / 1e9:.3f} GB are free where {path} lies"
    return ""


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above that exists."""
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    return place
