"""Files that a crash has damaged: how bad it is, and what of them can be kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
from h5py import h5o

from tango_saver.sink.address_book import Place, object_at
from tango_saver.sink.trouble import HDF5_ERRORS, first_line


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of the root's members of a damaged file."""

    kept: tuple[str, ...]
    lost: tuple[str, ...]


def damage(path: Path, entries: Collection[str], noted: Collection[str] = ()) -> str:
    """What of a file cannot be read, one sentence; empty if nothing was found.

    The file is only read, and not at all while somebody writes it or if HDF5 cannot open it.

    Args:
        path: of the file.
        entries: names in the root that are looked at to the last dataset; of the others only
            whether they are there.
        noted: names that must be in the root.
    """
    try:
        file = h5py.File(path, "r", locking=True)
    except HDF5_ERRORS:
        return ""
    with file:
        return _damage(file, entries, noted)


def _damage(file: h5py.File, entries: Collection[str], noted: Collection[str]) -> str:
    try:
        missing = sorted(set(noted) - set(file))
        if missing:
            return f"{', '.join(missing)} cannot be found in it"
        for name in file:
            if isinstance(file.get(name, getlink=True), h5py.HardLink):
                member = file[name]
                if name in entries:
                    _look_at(member)
    except HDF5_ERRORS as error:
        return f"HDF5 cannot read it: {first_line(error)}"
    return ""


def salvage(damaged: Path, into: h5py.File, noted: Mapping[str, Place]) -> Salvaged:
    """Copy every member of the root that can be read; the damaged file is not changed.

    Args:
        damaged: HDF5 may be unable to open it: then nothing is kept.
        into: an empty file in the same folder.
        noted: members whose names may be lost, and where they are.
    """
    kept: list[str] = []
    lost: list[str] = []
    try:
        with h5py.File(damaged, "r", locking=False) as source:
            for name, value in _attributes(source):
                into.attrs[name] = value
            for name in dict.fromkeys((*_names(source), *noted)):
                copied = _copy(source, name, into) or (
                    name in noted and _copy_from(source, noted[name], name, into)
                )
                (kept if copied else lost).append(name)
    except HDF5_ERRORS:
        return Salvaged(tuple(kept), tuple(lost))
    return Salvaged(tuple(kept), tuple(lost))


def _look_at(member: h5py.Group | h5py.Dataset) -> None:
    """Touch the structure of everything; HDF5 raises if it cannot be followed."""
    tuple(member.attrs)
    if isinstance(member, h5py.Dataset):
        if member.chunks is not None and not member.is_virtual:
            member.id.get_num_chunks()
        return
    for name in member:
        if isinstance(member.get(name, getlink=True), h5py.HardLink):
            _look_at(member[name])


def _names(source: h5py.File) -> tuple[str, ...]:
    try:
        return tuple(source)
    except HDF5_ERRORS:
        return ()


def _attributes(source: h5py.File) -> Iterator[tuple[str, object]]:
    try:
        yield from source.attrs.items()
    except HDF5_ERRORS:
        return


def _copy(source: h5py.File, name: str, into: h5py.File) -> bool:
    """One member as it is, chunks unread and links unfollowed; whether it could be copied."""
    try:
        link = source.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            into[name] = link
            return True
        _look_at(source[name])
        h5o.copy(source.id, name.encode(), into.id, name.encode())
    except HDF5_ERRORS:
        if name in into:
            del into[name]
        return False
    return True


def _copy_from(source: h5py.File, place: Place, name: str, into: h5py.File) -> bool:
    """One member from where it was noted to lie; whether it could be copied."""
    if not isinstance(place, int):
        into[name] = h5py.ExternalLink(*place)
        return True
    try:
        member = object_at(source, place)
        _look_at(member)
        h5o.copy(member.id, b".", into.id, name.encode())
    except HDF5_ERRORS:
        if name in into:
            del into[name]
        return False
    return True
