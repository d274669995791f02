"""The file that scans go to, and its lock."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import h5py
from h5py import h5g

from tango_saver.errors import (
    EntryExistsError,
    TargetAwayError,
    TargetLockedError,
    TargetUnusableError,
)
from tango_saver.model.plan import Attributes, ExternalLink, FilePlan
from tango_saver.sink.address_book import AddressBook, Place
from tango_saver.sink.chunk_queue import ChunkQueue
from tango_saver.sink.holders import holders
from tango_saver.sink.nodes import set_attributes
from tango_saver.sink.rescue import Salvaged, salvage
from tango_saver.sink.scan import ScanInFile
from tango_saver.sink.sealed import is_sealed
from tango_saver.sink.space import FileSpace
from tango_saver.sink.stored_report import StoredReport, stored_report
from tango_saver.sink.trouble import HDF5_ERRORS, system_errno, unusable

_LOCKED = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)
_abandoned: list[TargetFile] = []
"""Kept, because HDF5 writes to a file that it closes."""
_in_use: dict[tuple[int, int], str] = {}
"""Files (device, inode) that this process has open, or could not close: HDF5 would share its
state of such a file with whoever opens it again."""


class TargetFile:
    """An HDF5 file open for writing; several scans may write into it in turn.

    Every method raises TargetUnusableError when the system refuses (disk full, file system
    gone); the file can then only be closed. One greenlet or thread uses it at a time; while
    it waits for the executor, another greenlet may.
    """

    def __init__(
        self, path: Path, file: h5py.File, *, executor: Executor | None, new: bool
    ) -> None:
        self.path = path
        self._file = file
        self._new = new
        self._queue = ChunkQueue(executor, FileSpace(path), file.id.get_vfd_handle())
        self._root: h5g.GroupID = file["/"].id
        self._scans: list[ScanInFile] = []
        self._book = AddressBook(path, self._root)
        self._identity = _identity(path)
        _in_use[self._identity] = "open"

    @classmethod
    def open(cls, path: Path, *, executor: Executor | None = None) -> TargetFile:
        """Open or make the file, and its folder.

        Args:
            path: checked and resolved (``check_target``).
            executor: encodes the chunks; its ``submit`` must not wait. None encodes in the caller.

        Raises:
            TargetLockedError: another process holds it; says which.
            TargetUnusableError: no permission, not HDF5, read-only, no space.
        """
        with suppress(OSError):
            state = _in_use.get(_identity(path))
            if state == "open":
                raise TargetLockedError(f"{path} is open in this process already")
            if state is not None:
                raise TargetUnusableError(
                    f"{path} could not be closed by this process: {state}",
                    advice="It is usable again after the worker was replaced",
                )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise unusable(path, NotADirectoryError(errno.ENOTDIR, ""), "made") from error
        except OSError as error:
            raise unusable(path, error, "made") from error
        new = not path.exists()
        if path.is_dir():
            raise unusable(path, IsADirectoryError(errno.EISDIR, ""), "opened")
        if is_sealed(path):
            raise TargetUnusableError(
                f"{path} is sealed",
                advice="Nothing is added to it; tango-saver seal --undo opens it again",
            )
        if not new and not os.access(path, os.W_OK):
            raise unusable(path, PermissionError(errno.EACCES, ""), "opened")
        FileSpace(path).require(0)
        try:
            # "best-effort": a file system without locks is no reason not to save.
            file = h5py.File(path, "a", libver="earliest", locking="best-effort")
        except HDF5_ERRORS as error:
            if system_errno(error) in _LOCKED and path.exists():
                raise TargetLockedError(
                    f"{path} is held by {holders(path)}",
                    advice="Close it there, or open it with locking=False",
                ) from error
            raise unusable(path, error, "opened") from error
        return cls(path, file, executor=executor, new=new)

    def entry_names(self) -> list[str]:
        """Names in the root of the file."""
        return sorted(self._file)

    def report_of(self, entry: str) -> StoredReport | None:
        """What was reported of the scan in an entry; None if nothing was, or it is no entry."""
        try:
            member = self._file.get(entry)
        except HDF5_ERRORS:
            return None
        return stored_report(member) if isinstance(member, h5py.Group) else None

    def salvage(self, damaged: Path, noted: Mapping[str, Place]) -> Salvaged:
        """Copy what can be read of a damaged file into this one, which is new.

        Args:
            damaged: path of that file.
            noted: what its address book said.

        Raises:
            TargetUnusableError: the file cannot be written.
        """
        salvaged = salvage(damaged, self._file, noted)
        self._new = not salvaged.kept
        self._flush_file()
        self._book.note(salvaged.kept)
        return salvaged

    def add_scan(self, file: str, entries: Iterable[str]) -> tuple[str, ...]:
        """Make links to the entries of a scan that lies in another file.

        Args:
            file: relative to the folder of this one, or absolute.
            entries: names there. Where this file has something of that name, the link is called
                ``<entry>_2``, or the next number that is free.

        Returns:
            the names of the links, those included that were there already.

        Raises:
            TargetUnusableError: the file cannot be written.
        """
        names = []
        try:
            for entry in entries:
                link = ExternalLink(f"/{entry}", file, f"/{entry}")
                name = self._free_name(entry, link)
                if self._file.get(name, getlink=True) is None:
                    self._file[name] = h5py.ExternalLink(file, f"/{entry}")
                names.append(name)
            self._file.flush()
        except HDF5_ERRORS as error:
            raise unusable(self.path, error, "written") from error
        return tuple(names)

    def _free_name(self, entry: str, link: ExternalLink) -> str:
        name, count = entry, 1
        while (present := self._file.get(name, getlink=True)) is not None:
            if _leads_to(present, link):
                break
            count += 1
            name = f"{entry}_{count}"
        return name

    def add_links(
        self, links: Iterable[ExternalLink], root_attributes: Attributes
    ) -> tuple[str, ...]:
        """Make links in the root; what has such a name already stays as it is.

        Args:
            links: relative to the folder of this file.
            root_attributes: set on a new file only.

        Returns:
            one sentence for each link whose name something else has.

        Raises:
            TargetUnusableError: the file cannot be written.
        """
        taken = []
        try:
            if self._new:
                set_attributes(self._root, self._first_attributes(root_attributes))
                self._new = False
            for link in links:
                present = self._file.get(link.path, getlink=True)
                if present is None:
                    self._file[link.path] = h5py.ExternalLink(link.file, link.target)
                elif not _leads_to(present, link):
                    taken.append(f"{self.path} has something else called {link.path[1:]} already")
            self._file.flush()
        except HDF5_ERRORS as error:
            raise unusable(self.path, error, "written") from error
        return tuple(taken)

    def begin(self, plan: FilePlan) -> ScanInFile:
        """Make the entries of a scan; a reader can open the file from then on.

        Raises:
            EntryExistsError: the file has one of the entries already; nothing was touched.
            TargetUnusableError: the file cannot be written.
        """
        for entry in plan.entries:
            if entry in self._file:
                raise EntryExistsError(
                    f"{self.path} has an entry {entry} already",
                    advice="It is left as it is; save the scan to another file",
                )
        return self._start(plan, None)

    def resume(self, plan: FilePlan, confirmed: Mapping[str, int]) -> ScanInFile:
        """Go on with a scan whose saving was interrupted.

        Args:
            plan: of the same scan; its entries are in the file, or are made.
            confirmed: channel -> points that the journal says are on disk; the channel is cut
                there. ``ScanInFile.lengths`` tells where it really goes on.

        Raises:
            TargetUnusableError: the file cannot be written.
        """
        return self._start(plan, confirmed)

    def flush(self) -> None:
        """Make every point of every scan visible to readers that open with ``locking=False``.

        Raises:
            TargetUnusableError: the file cannot be written.
        """
        self._check_place()
        self._queue.drain()
        # Nothing waits from here on, so no other greenlet comes between.
        for scan in self._scans:
            scan.write_partial()
        self._flush_file()
        replaced = [scan.replace() for scan in self._scans]
        if any(replaced):
            self._flush_file()
        for scan in self._scans:
            scan.confirm()

    def abandon(self, reason: str) -> None:
        """Never touch the file again; it stays open until the process ends.

        Args:
            reason: why, see ``unclosed``.
        """
        self._scans.clear()
        _abandoned.append(self)
        _in_use[self._identity] = reason

    def close(self) -> None:
        """Flush and close; idempotent.

        Raises:
            TargetUnusableError: what was appended since the last flush is not in the file.
        """
        if not self._file.id.valid:
            return
        try:
            self.flush()
        finally:
            self._scans.clear()
            self._close_file()

    def _start(self, plan: FilePlan, confirmed: Mapping[str, int] | None) -> ScanInFile:
        scan = ScanInFile(self.path, self._root, self._queue, plan, self.flush, self._ended)
        if self._new:
            scan.set_root_attributes(self._first_attributes(plan.root_attributes))
            self._new = False
        scan.start(confirmed)
        self._scans.append(scan)
        self.flush()
        return scan

    def _ended(self, scan: ScanInFile) -> None:
        self._scans.remove(scan)
        self._book.note(scan.entries)

    def _first_attributes(self, attributes: Attributes) -> Attributes:
        """The root attributes of a new file."""
        return {
            "file_name": str(self.path),
            "file_time": datetime.now(UTC).astimezone().isoformat(),
            "HDF5_Version": h5py.version.hdf5_version,
            "h5py_version": h5py.version.version,
            **attributes,
        }

    def _check_place(self) -> None:
        """The name must still lead to this file: nobody finds points that go elsewhere."""
        try:
            here = _identity(self.path)
        except OSError as error:
            raise unusable(self.path, error, "written") from error
        if here != self._identity:
            raise TargetAwayError(
                f"{self.path} was replaced by another file while it was written",
                advice="The scan is saved anew",
            )

    def _flush_file(self) -> None:
        try:
            self._file.flush()
        except HDF5_ERRORS as error:
            raise unusable(self.path, error, "written") from error

    def _close_file(self) -> None:
        try:
            self._file.close()
        except HDF5_ERRORS as error:
            _in_use[self._identity] = str(error).splitlines()[0]
            raise unusable(self.path, error, "closed") from error
        self._book.remove()
        _in_use.pop(self._identity, None)


def unclosed() -> str:
    """Why a file could not be closed by this process, empty if all could.

    HDF5 keeps its broken state of such a file: only the end of the process frees it.
    """
    return next((state for state in _in_use.values() if state != "open"), "")


def entries_of(path: Path) -> frozenset[str]:
    """Names in the root of a file that another process may be writing; empty if there is none.

    The file must not be open in this process.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            return frozenset(file)
    except HDF5_ERRORS:
        return frozenset()


def _leads_to(present: object, link: ExternalLink) -> bool:
    return isinstance(present, h5py.ExternalLink) and (present.filename, present.path) == (
        link.file,
        link.target,
    )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
