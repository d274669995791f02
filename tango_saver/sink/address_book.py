"""Where the members of a file's root lie: a small file beside the target while it is written.

A process that is killed while HDF5 writes the root group can leave names that nobody can follow
any more, although what they stood for is whole. With its address an entry is found all the same.
Lines are JSON: the first tells the file by device and inode, each further one has members.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import h5py
import msgspec
import numpy as np
from h5py import h5g, h5l, h5s, h5t

Place = int | tuple[str, str]
"""The address of an object in the file, or file and path of an external link."""

_SUFFIX = ".entries"
_LONGEST_NAME = 255


class _Header(msgspec.Struct, frozen=True, array_like=True):
    device: int
    inode: int


class AddressBook:
    """The book of a file that is open for writing.

    It is of use after a crash only: a system that refuses to write it costs no scan.

    Args:
        target: path of the file.
        root: its root group.
    """

    def __init__(self, target: Path, root: h5g.GroupID) -> None:
        self._path = _path_for(target)
        self._root = root
        self._descriptor = -1
        with suppress(OSError):
            # Made anew: what somebody has put in its place may lead anywhere.
            self._path.unlink(missing_ok=True)
            self._descriptor = os.open(
                self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666
            )
            status = target.stat()
            self._write(_Header(status.st_dev, status.st_ino))
        self.note(name.decode() for name in root)

    def note(self, names: Iterable[str]) -> None:
        """Members of the root that are on disk as a whole."""
        places = {name: place for name in names if (place := _place(self._root, name)) is not None}
        if places and self._descriptor >= 0:
            with suppress(OSError):
                self._write(places)

    def remove(self) -> None:
        """The file was closed in good order; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _write(self, line: _Header | Mapping[str, Place]) -> None:
        os.write(self._descriptor, msgspec.json.encode(line) + b"\n")


def noted_members(target: Path) -> dict[str, Place]:
    """What the book of a file says that was not closed in good order; empty if there is none."""
    try:
        first, *lines = _path_for(target).read_bytes().split(b"\n")
        status = target.stat()
        if msgspec.json.decode(first, type=_Header) != _Header(status.st_dev, status.st_ino):
            return {}
    except (OSError, msgspec.MsgspecError):
        return {}
    members: dict[str, Place] = {}
    for line in lines:
        with suppress(msgspec.MsgspecError):  # the last line may be torn
            members |= msgspec.json.decode(line, type=dict[str, int | tuple[str, str]])
    return members


def object_at(file: h5py.File, address: int) -> h5py.Group | h5py.Dataset:
    """The object at an address, whether a name leads to it or not.

    Raises:
        KeyError: there is none.
    """
    # The only way from an address to an object that h5py knows is a reference as it is stored.
    with h5py.File("reference", "w", driver="core", backing_store=False) as memory:
        stored = memory.create_dataset("reference", (1,), h5py.ref_dtype)
        stored.id.write(h5s.ALL, h5s.ALL, np.array([address], np.uint64), mtype=h5t.STD_REF_OBJ)
        reference = stored[0]
    return file[reference]


def _place(root: h5g.GroupID, name: str) -> Place | None:
    link = root.links.get_info(name.encode())
    if link.type == h5l.TYPE_HARD:
        return int(link.u)
    if link.type == h5l.TYPE_EXTERNAL:
        file, path = root.links.get_val(name.encode())
        return os.fsdecode(file), path.decode()
    return None


def _path_for(target: Path) -> Path:
    name = target.name.encode()[: _LONGEST_NAME - len(_SUFFIX) - 1]
    return target.parent / f".{name.decode('utf-8', 'ignore')}{_SUFFIX}"
