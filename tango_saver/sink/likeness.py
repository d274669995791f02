"""Files of a series that are alike: what HDF5 has found in one, it would find in the next.

Opening a file with HDF5 costs a tenth of a millisecond of CPU, most of it for building up and
taking down its caches. A detector that saves every frame in a file of its own writes thousands
whose descriptions are the same to the last byte. So all bytes that HDF5 reads on its way to a
dataset are noted once. A file that is as long and has the same bytes in the same places holds
a dataset of the same form: HDF5 would read nothing else, and so could conclude nothing else.
Any other file, such as one that is not wholly there yet, is opened with HDF5.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from h5py import h5d, h5f, h5fd, h5o, h5p

from tango_saver.sink.access import FOR_A_GLANCE
from tango_saver.sink.trouble import HDF5_ERRORS, first_line

_LONGEST_REST = 256
"""Files that are opened with HDF5, one like the other, before the next is noted."""


@dataclass(frozen=True, slots=True)
class Form:
    """Of a dataset."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_virtual: bool = False
    """It shows what lies in other files."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A file that HDF5 has looked into."""

    size: int
    """Bytes."""
    spans: tuple[tuple[int, bytes], ...]
    """All that was read of it: where, and what."""
    form: Form

    def is_like(self, path: str, size: int) -> bool:
        """Whether HDF5 would read the same bytes in another file.

        Raises:
            OSError: it cannot be read.
        """
        if size != self.size:
            return False
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.fstat(file).st_size == size and all(
                os.pread(file, len(known), first) == known for first, known in self.spans
            )
        finally:
            os.close(file)


class Series:
    """Files that should all have a dataset of the same name.

    Args:
        dataset: its path.
    """

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset.encode()
        self._noted: Noted | None = None
        self._was_of_use = True
        self._rest = self._next_rest = 0

    def form_in(self, path: str, size: int) -> Form:
        """Of the dataset in a file of that size.

        Raises:
            FileUnreadableError: HDF5 cannot open the file.
            DatasetAbsentError: it has no such dataset.
        """
        noted = self._noted
        if noted is not None and _is_like(noted, path, size):
            self._was_of_use = True
            return noted.form
        form = _form_in(path, self._dataset)
        if self._rest:
            self._rest -= 1
        else:
            self._note(path)
        return form

    def _note(self, path: str) -> None:
        """Note a file; less and less often as long as that is of no use."""
        self._next_rest = 0 if self._was_of_use else min(2 * self._next_rest + 1, _LONGEST_REST)
        self._rest, self._was_of_use = self._next_rest, False
        self._noted = noted_file(path, self._dataset)


class FileUnreadableError(Exception):
    """HDF5 cannot open a file; ``look_at`` makes a sentence of it."""


class DatasetAbsentError(Exception):
    """A file has no dataset of that name; ``look_at`` makes a sentence of it."""


def noted_file(path: str, dataset: bytes) -> Noted | None:
    """What HDF5 reads of a file; None if that is not all that the dataset depends on.

    A dataset that lies in another file, or shows others, may change while this file does not.
    """
    try:
        file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY, FOR_A_GLANCE)
        found = h5d.open(file, dataset)
        if h5o.get_info(found).fileno != h5o.get_info(file).fileno:
            return None
        if found.get_create_plist().get_layout() == h5d.VIRTUAL:
            return None
        form = Form(found.shape, found.dtype)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except HDF5_ERRORS:
        return None
    try:
        size = os.fstat(descriptor).st_size
        witness = _Witness(descriptor, size)
        if _form_seen_by(witness, dataset) != form:
            return None
        return Noted(size, witness.spans(), form)
    except HDF5_ERRORS:
        return None
    finally:
        os.close(descriptor)


class _Witness:
    """A file as h5py's driver for Python's files wants it, which notes what is read.

    Nothing of it raises: HDF5 has no ear for that between its own calls.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._position = 0
        self._read: dict[int, bytes] = {}
        self._failed = False

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._position = offset if whence == os.SEEK_SET else self._size + offset
        return self._position

    def tell(self) -> int:
        """Where that is."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """Read there."""
        try:
            found = os.pread(self._descriptor, len(buffer), self._position)
        except OSError:
            found, self._failed = b"", True
        buffer[:] = found.ljust(len(buffer), b"\0")
        if len(found) > len(self._read.get(self._position, b"")):
            self._read[self._position] = found
        return len(found)

    def flush(self) -> None:
        """Nothing is ever written."""

    def spans(self) -> tuple[tuple[int, bytes], ...]:
        """All that was read, neighbours joined.

        Raises:
            OSError: not all could be read.
            ValueError: it has changed since.
        """
        if self._failed:
            raise OSError("a part cannot be read")
        ranges = _joined((first, first + len(found)) for first, found in self._read.items())
        spans = tuple(
            (first, os.pread(self._descriptor, stop - first, first)) for first, stop in ranges
        )
        if not all(_holds(spans, first, found) for first, found in self._read.items()):
            raise ValueError("it changes")
        return spans


def _holds(spans: Sequence[tuple[int, bytes]], first: int, found: bytes) -> bool:
    return any(
        start <= first and known[first - start :].startswith(found) for start, known in spans
    )


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, stop in sorted(ranges):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((first, stop))
    return joined


def _is_like(noted: Noted, path: str, size: int) -> bool:
    try:
        return noted.is_like(path, size)
    except OSError:
        return False


def _form_in(path: str, dataset: bytes) -> Form:
    try:
        file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY, FOR_A_GLANCE)
    except HDF5_ERRORS as error:
        raise FileUnreadableError(first_line(error)) from error
    try:
        found = h5d.open(file, dataset)
        virtual = found.get_create_plist().get_layout() == h5d.VIRTUAL
        return Form(found.shape, found.dtype, virtual)
    except HDF5_ERRORS as error:
        raise DatasetAbsentError from error
    finally:
        # Closes it: nothing else refers to it. Its close() looks through all open objects first.
        found = file = None


def _form_seen_by(witness: _Witness, dataset: bytes) -> Form:
    properties = h5p.create(h5p.FILE_ACCESS)
    properties.set_fileobj_driver(h5fd.fileobj_driver, witness)
    properties.set_file_locking(False, True)  # noqa: FBT003 - as above
    file = h5f.open(b"a file that is noted", h5f.ACC_RDONLY, properties)
    found = h5d.open(file, dataset)
    return Form(found.shape, found.dtype)
