"""A ``NexusWriter`` that gives BLISS every answer at once and saves nothing.

What a scan takes longer with it than without a writer is what BLISS itself needs to find a
writer and to ask it. ``bliss_slowdown.py`` starts it in the place of our server.

    python tests/benchmarks/answering_writer.py INSTANCE
"""

from __future__ import annotations

import sys
from pathlib import Path

from tango import DevState
from tango.server import Device, command, run


class TangoSaver(Device):
    """On, and no more."""

    def init_device(self) -> None:
        """Be ready."""
        super().init_device()
        self.set_state(DevState.ON)


class BlissWriter(TangoSaver):
    """On, and no more."""


class NexusWriter(TangoSaver):
    """The commands that BLISS calls."""

    @command
    def scan_exists(self, _name: str) -> bool:
        """Every scan is known."""
        return True

    @command
    def scan_has_write_permissions(self, _name: str) -> bool:
        """Every file can be written."""
        return True

    @command
    def scan_disk_space_error(self, _name: str) -> str:
        """There is room."""
        return ""

    @command
    def scan_disk_space_warning(self, _name: str) -> str:
        """There is room."""
        return ""

    @command
    def scan_state(self, _name: str) -> DevState:
        """Every scan is being saved."""
        return DevState.ON

    @command
    def makedirs(self, path: str) -> None:
        """Make a folder, without which BLISS does not begin."""
        Path(path).mkdir(parents=True, exist_ok=True)


if __name__ == "__main__":
    run([TangoSaver, NexusWriter, BlissWriter], args=["TangoSaver", sys.argv[1]])
