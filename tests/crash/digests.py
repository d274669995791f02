"""What a file holds, told so that two files can be compared: tree, links, attributes, values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

OF_THE_MOMENT = ("/end_time", "/writer/date", "/writer/data@scan")
"""Ends of the paths of values and attributes that differ from one saving to the next."""
ROOT_OF_THE_MOMENT = frozenset({"file_time", "file_name"})


def digests(path: Path, entry: str = "/") -> dict[str, str]:
    """Path of every object and attribute in a file, or below one entry -> what is there."""
    with h5py.File(path, "r", locking=False) as file:
        return dict(_of_member(file[entry]))


def _of_member(member: h5py.Group | h5py.Dataset) -> Iterator[tuple[str, str]]:
    for name, value in member.attrs.items():
        ours = f"{member.name}@{name}".endswith(OF_THE_MOMENT)
        if not ours and (member.name != "/" or name not in ROOT_OF_THE_MOMENT):
            yield f"{member.name}@{name}", _digest(value)
    if isinstance(member, h5py.Dataset):
        ours = member.name.endswith(OF_THE_MOMENT)
        yield member.name, f"{member.dtype} {member.shape} {'' if ours else _digest(member[()])}"
        return
    yield member.name, "group"
    for name in member:
        link = member.get(name, getlink=True)
        if isinstance(link, h5py.HardLink):
            yield from _of_member(member[name])
        else:
            target = getattr(link, "path", ""), getattr(link, "filename", "")
            yield f"{member.name.rstrip('/')}/{name}", f"-> {target}"


def _digest(value: Any) -> str:
    array = np.asarray(value)
    data = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
    return f"{array.dtype} {hashlib.sha256(data).hexdigest()[:16]}"
