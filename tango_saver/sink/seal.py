"""Seals finished files: read-only, and with a digest beside them that shows every later change.

The seal of ``data.h5`` is ``data.h5.seal``, JSON: a digest of the whole file, and one of each
dataset, which tells where a file was changed. A sealed file is never written again.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np

from tango_saver.errors import TargetLockedError, TargetUnusableError
from tango_saver.sink.completeness import blocks
from tango_saver.sink.holders import holders
from tango_saver.sink.journal import Journal
from tango_saver.sink.sealed import is_sealed, seal_path
from tango_saver.sink.trouble import HDF5_ERRORS, first_line, unusable

_ALGORITHM = "sha256"
_READ_AT_ONCE = 1 << 20
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class Seal(msgspec.Struct, frozen=True):
    """What a file was when it was sealed."""

    file: str
    """Name without folder."""
    size: int
    """Bytes."""
    algorithm: str
    digest: str
    """Of the bytes of the file."""
    sealed_at: str
    """ISO 8601."""
    datasets: dict[str, str]
    """Path -> digest of type, shape and values; without virtual ones, whose frames lie in
    other files."""


def seal(path: Path) -> None:
    """Seal a file; whoever wants to write it meanwhile is kept out by its lock.

    Raises:
        TargetLockedError: somebody writes it.
        TargetUnusableError: it cannot be read, a scan in it is not finished, or the seal cannot
            be written.
    """
    if Journal.find(path):
        raise TargetUnusableError(
            f"{path} has a scan that is not finished",
            advice="Seal it when the scan is saved; the saver goes on with it",
        )
    try:
        with h5py.File(path, "r", locking=True) as file:
            found = Seal(
                file=path.name,
                size=path.stat().st_size,
                algorithm=_ALGORITHM,
                digest=_digest_of_file(path),
                sealed_at=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
                datasets=dict(_digests(file)),
            )
            _write(seal_path(path), found)
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_WRITABLE)
    except BlockingIOError as error:
        raise TargetLockedError(
            f"{path} is held by {holders(path)}", advice="Seal it when nobody writes it"
        ) from error
    except HDF5_ERRORS as error:
        raise unusable(path, error, "sealed") from error


def unseal(path: Path) -> None:
    """Let a file be written again by its owner; one that has no seal is left as it is.

    Raises:
        TargetUnusableError: the system refuses.
    """
    if not is_sealed(path):
        return
    try:
        if path.exists():
            path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IWUSR)
        seal_path(path).unlink()
    except OSError as error:
        raise unusable(path, error, "unsealed") from error


def changes(path: Path) -> list[str]:
    """How a sealed file differs from what it was, one sentence each; empty if it does not."""
    try:
        sealed = msgspec.json.decode(seal_path(path).read_bytes(), type=Seal)
        if not path.exists():
            return [f"it was sealed at {sealed.sealed_at}, and is gone"]
        if path.stat().st_size == sealed.size and _digest_of_file(path) == sealed.digest:
            return []
    except (OSError, msgspec.MsgspecError) as error:
        return [f"its seal cannot be read: {first_line(error)}"]
    since = f"since it was sealed at {sealed.sealed_at}"
    try:
        with h5py.File(path, "r", locking=False) as file:
            now = dict(_digests(file))
    except HDF5_ERRORS as error:
        return [f"it was changed {since}, and cannot be opened: {first_line(error)}"]
    found = [
        f"{name} was {'changed' if name in now else 'removed'} {since}"
        for name, digest in sealed.datasets.items()
        if now.get(name) != digest
    ]
    found += [f"{name} was added {since}" for name in now.keys() - sealed.datasets.keys()]
    return found or [f"it was changed {since}, though no value of a dataset"]


def _write(path: Path, content: Seal) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1))
    fresh.chmod(stat.S_IMODE(fresh.stat().st_mode) & ~_WRITABLE)
    fresh.rename(path)


def _digest_of_file(path: Path) -> str:
    digest = hashlib.new(_ALGORITHM)
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while part := file.read(_READ_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def _digests(group: h5py.Group) -> Iterator[tuple[str, str]]:
    """The datasets below a group, links not followed; one that cannot be read has none."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        try:
            member = group[name]
        except HDF5_ERRORS:
            continue
        if isinstance(member, h5py.Group):
            yield from _digests(member)
        elif isinstance(member, h5py.Dataset) and _is_own(member):
            yield f"{group.name.rstrip('/')}/{name}", _digest_of_dataset(member)


def _is_own(dataset: h5py.Dataset) -> bool:
    """Whether its values are in this file."""
    return not dataset.is_virtual and not dataset.external


def _digest_of_dataset(dataset: h5py.Dataset) -> str:
    digest = hashlib.new(_ALGORITHM)
    try:
        digest.update(f"{dataset.dtype.str} {dataset.shape}".encode())
        for part in _parts(dataset):
            digest.update(part)
    except HDF5_ERRORS as error:
        return f"cannot be read: {first_line(error)}"
    return digest.hexdigest()


def _parts(dataset: h5py.Dataset) -> Iterator[bytes]:
    if dataset.shape is None:
        return
    if dataset.shape == ():
        yield from _bytes_of(np.asarray(dataset[()]))
        return
    for first, stop in blocks(dataset):
        yield b"%d:%d:" % (first, stop)
        yield from _bytes_of(dataset[first:stop])


def _bytes_of(values: np.ndarray[Any, Any]) -> Iterator[bytes]:
    if not values.dtype.hasobject:
        yield np.ascontiguousarray(values).tobytes()
        return
    if values.dtype.names is not None:
        for name in values.dtype.names:
            yield from _bytes_of(values[name])
        return
    for value in values.reshape(-1):
        plain = value if isinstance(value, bytes) else str(value).encode()
        yield b"%d:" % len(plain)
        yield plain
