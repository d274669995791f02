"""What of a scan is on disk for certain: a small file beside the target.

It is made before the scan's entries, gains a line after every flush, and is removed when
the scan is finished: a journal that is there belongs to a scan that was interrupted. Lines
are JSON; the first names the scan, each further one the channels that grew.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tango_saver.errors import SinkError
from tango_saver.sink.trouble import unusable

_COMPACT_ABOVE = 64 << 10
"""Bytes after which the lines are replaced by one."""
_SAFE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUFFIX = ".journal"
_FRESH = ".new"


class _Header(msgspec.Struct, frozen=True):
    scan: str
    target: str
    entries: tuple[str, ...]


class Journal:
    """The journal of one scan.

    Every method that writes raises TargetUnusableError if the system refuses.
    """

    def __init__(
        self,
        path: Path,
        scan: str,
        target: str,
        entries: Sequence[str],
        confirmed: Mapping[str, int],
    ) -> None:
        self.path = path
        self.scan = scan
        """Key of the scan."""
        self.target = target
        """Path of the file that the scan goes to."""
        self.entries = tuple(entries)
        """Names of the scan's entries in it."""
        self._confirmed = dict(confirmed)
        self._descriptor = -1
        self._size = 0

    @property
    def confirmed(self) -> Mapping[str, int]:
        """Channel -> points that are on disk for certain."""
        return self._confirmed

    @staticmethod
    def path_for(target: Path, scan: str) -> Path:
        """Where the journal of a scan lies."""
        key = scan.rsplit(":", 1)[-1]
        if not _SAFE_KEY.fullmatch(key):
            key = hashlib.sha256(scan.encode()).hexdigest()[:26]
        name = target.name.encode()[: 255 - len(key) - len(_SUFFIX) - len(_FRESH) - 2]
        return target.parent / f".{name.decode('utf-8', 'ignore')}.{key}{_SUFFIX}"

    @classmethod
    def create(cls, target: Path, scan: str, entries: Sequence[str]) -> Journal:
        """Begin the journal of a scan; its folder is made if it is missing."""
        journal = cls(cls.path_for(target, scan), scan, str(target), entries, {})
        try:
            journal.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(journal.path, error, "made") from error
        journal._rewrite()
        return journal

    @classmethod
    def load(cls, path: Path) -> Journal:
        """Read a journal to go on with it; a torn last line is left out.

        Raises:
            SinkError: it cannot be read, or has no whole first line.
        """
        try:
            first, *lines = path.read_bytes().split(b"\n")
            header = msgspec.json.decode(first, type=_Header)
        except (OSError, msgspec.MsgspecError) as error:
            raise SinkError(
                f"the journal {path} cannot be read: {error}", advice="Remove it"
            ) from error
        confirmed: dict[str, int] = {}
        for line in lines:
            try:
                confirmed.update(msgspec.json.decode(line, type=dict[str, int]))
            except msgspec.MsgspecError:
                break
        return cls(path, header.scan, header.target, header.entries, confirmed)

    @staticmethod
    def find(place: Path) -> list[Path]:
        """Journals of a target, or all in a folder; the oldest first."""
        folder, prefix = (place, ".") if place.is_dir() else (place.parent, f".{place.name}.")
        try:
            found = [
                (entry.stat().st_mtime, folder / entry.name)
                for entry in os.scandir(folder)
                if entry.name.startswith(prefix) and entry.name.endswith(_SUFFIX)
            ]
        except OSError:  # no folder, no journals
            return []
        return [path for _, path in sorted(found)]

    def confirm(self, lengths: Mapping[str, int]) -> None:
        """Note the points on disk; called after each flush."""
        grown = {
            channel: length
            for channel, length in lengths.items()
            if self._confirmed.get(channel) != length
        }
        if not grown:
            return
        self._confirmed.update(grown)
        line = msgspec.json.encode(grown) + b"\n"
        if self._descriptor < 0 or self._size + len(line) > _COMPACT_ABOVE:
            self._rewrite()
        else:
            self._write(line)

    def close(self) -> None:
        """Leave the journal for whoever goes on with the scan; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """The scan is finished."""
        self.close()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise unusable(self.path, error, "removed") from error

    def _rewrite(self) -> None:
        """Replace the file as a whole, so that a crash leaves the old one or the new one."""
        self.close()
        header = _Header(self.scan, self.target, self.entries)
        fresh = self.path.with_name(f"{self.path.name}{_FRESH}")
        try:
            # Made anew: what somebody has put in its place may lead anywhere.
            fresh.unlink(missing_ok=True)
            self._descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            self._size = 0
            self._write(
                msgspec.json.encode(header) + b"\n" + msgspec.json.encode(self._confirmed) + b"\n"
            )
            fresh.replace(self.path)
        except OSError as error:
            raise unusable(self.path, error, "written") from error

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise unusable(self.path, error, "written") from error
        self._size += written
        if written < len(line):
            raise unusable(self.path, OSError(errno.ENOSPC, ""), "written")
