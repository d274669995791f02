"""Space for what is about to be written.

HDF5 loses its bearings when the disk is full in the middle of a write; so it is asked
for space before, while there is still enough left to close the file in good order.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tango_saver.sink.trouble import unusable

_RESERVE = 8 << 20
"""Bytes left for HDF5's own structures when the file is flushed and closed."""
_ASK_EVERY = 4 << 20
"""Bytes between two questions to the file system."""
LEAST_FREE = _RESERVE + _ASK_EVERY
"""Bytes below which nothing is written."""


class FileSpace:
    """The free space around one target."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._granted = -1

    def require(self, n_bytes: int) -> None:
        """Return if so many bytes can be written.

        Raises:
            TargetUnusableError: the file system is (nearly) full.
        """
        self._granted -= n_bytes
        if self._granted >= 0:
            return
        try:
            status = os.statvfs(self.path.parent)
        except OSError as error:
            raise unusable(self.path, error, "written") from error
        if status.f_bavail * status.f_frsize < n_bytes + LEAST_FREE:
            raise unusable(self.path, OSError(errno.ENOSPC, ""), "written")
        self._granted = _ASK_EVERY
