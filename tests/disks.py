"""What a test does to the place of a file: a small file system, a full one, a file in use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(place: Path, size: str = "64m") -> Iterator[Path]:
    """A file system of its own, in memory; CalledProcessError without the right to mount.

    Args:
        place: a folder that is made for it.
        size: as mount takes it.
    """
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def fill(disk: Path) -> Path:
    """A file that leaves no byte free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 20)):
                pass
        except OSError:
            pass
    return filler


@contextmanager
def holder(path: Path, mode: str = "r", *, locking: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the file open, with HDF5's lock unless told otherwise."""
    opened = f"h5py.File({str(path)!r}, {mode!r}, locking={locking})"
    code = f"import h5py; f = {opened}; print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            if process.poll() is None:
                process.communicate("\n")
