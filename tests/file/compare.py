"""Whether everything of a golden file is in ours, and equal, object by object.

What ours has besides is allowed and can be listed. Chunks and filters are not compared;
a dataset that grew in the golden must be extendible in ours.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from file.intended_differences import is_intended

IGNORED_ROOT_ATTRIBUTES = frozenset(
    {
        "file_time",
        "file_name",
        "HDF5_Version",
        "h5py_version",
        "creator",
        "create_version",
        "file_update_time",
    }
)
CLOCK_VALUES = ("/end_time", "/writer/date")
"""Ends of the paths whose values are the writer's clock."""


def compare(golden: Path, ours: Path, recording: str = "") -> list[str]:
    """What is missing or different in ``ours``, one sentence each.

    Args:
        golden: a file of the classic writer, ``.h5`` or ``.h5.gz``.
        ours: the file to judge.
        recording: name under which intended differences are looked up.
    """
    with _both(golden, ours) as (golden_file, our_file):
        found = list(_differences(golden_file, our_file))
    return [f"{path}: {fact}" for path, fact in found if not is_intended(recording, path)]


def extras(golden: Path, ours: Path) -> list[str]:
    """Paths of what only ``ours`` has, attributes as ``<path>@<name>``."""
    with _both(golden, ours) as (golden_file, our_file):
        return list(_extras(golden_file, our_file))


@contextmanager
def _both(golden: Path, ours: Path) -> Iterator[tuple[h5py.File, h5py.File]]:
    with ExitStack() as stack:
        if golden.suffix == ".gz":
            unpacked = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".h5"))
            with gzip.open(golden) as packed:
                shutil.copyfileobj(packed, unpacked)
            unpacked.flush()
            golden = Path(unpacked.name)
        yield (
            stack.enter_context(h5py.File(golden, "r", locking=False)),
            stack.enter_context(h5py.File(ours, "r", locking=False)),
        )


def _child(group: h5py.Group, name: str) -> str:
    return f"{'' if group.name == '/' else group.name}/{name}"


def _differences(golden: h5py.Group, ours: h5py.Group) -> Iterator[tuple[str, str]]:
    yield from _attribute_differences(golden, ours)
    for name in golden:
        path = _child(golden, name)
        if ours.get(name, getlink=True) is None:
            yield path, "missing"
            continue
        yield from _link_differences(golden, ours, name)
        if isinstance(golden.get(name, getlink=True), h5py.HardLink) and name in ours:
            yield from _object_differences(path, golden[name], ours[name])


def _link_differences(golden: h5py.Group, ours: h5py.Group, name: str) -> Iterator[tuple[str, str]]:
    path = _child(golden, name)
    link, our_link = golden.get(name, getlink=True), ours.get(name, getlink=True)
    if type(link) is not type(our_link):
        yield path, f"is a {type(our_link).__name__}, not a {type(link).__name__}"
    elif isinstance(link, h5py.SoftLink):
        if link.path != our_link.path:
            yield path, f"points at {our_link.path}, not {link.path}"
        elif name not in ours:
            yield path, f"points at {our_link.path}, which does not exist"
    elif isinstance(link, h5py.ExternalLink) and (link.filename, link.path) != (
        our_link.filename,
        our_link.path,
    ):
        yield path, f"points at {our_link.filename}::{our_link.path}"


def _object_differences(
    path: str, golden: h5py.Group | h5py.Dataset, ours: h5py.Group | h5py.Dataset
) -> Iterator[tuple[str, str]]:
    if type(golden) is not type(ours):
        yield path, f"is a {type(ours).__name__}, not a {type(golden).__name__}"
    elif isinstance(golden, h5py.Group):
        yield from _differences(golden, ours)
    else:
        yield from _dataset_differences(path, golden, ours)


def _dataset_differences(
    path: str, golden: h5py.Dataset, ours: h5py.Dataset
) -> Iterator[tuple[str, str]]:
    yield from _attribute_differences(golden, ours)
    if golden.shape != ours.shape:
        yield path, f"shape {ours.shape}, not {golden.shape}"
        return
    if golden.dtype != ours.dtype:
        yield path, f"dtype {ours.dtype}, not {golden.dtype}"
    if golden.is_virtual != ours.is_virtual:
        yield path, "virtual" if ours.is_virtual else "not virtual"
    if golden.maxshape[:1] == (None,) and ours.maxshape[:1] != (None,):
        yield path, f"cannot grow, maxshape {ours.maxshape}"
    if not path.endswith(CLOCK_VALUES) and not _equal(golden[()], ours[()]):
        yield path, f"value {ours[()]!r}, not {golden[()]!r}"


def _attribute_differences(
    golden: h5py.Group | h5py.Dataset, ours: h5py.Group | h5py.Dataset
) -> Iterator[tuple[str, str]]:
    for name, value in golden.attrs.items():
        path = f"{golden.name}@{name}"
        if golden.name == "/" and name in IGNORED_ROOT_ATTRIBUTES:
            continue
        if name not in ours.attrs:
            yield path, "missing"
        elif not _equal(value, ours.attrs[name]):
            yield path, f"value {ours.attrs[name]!r}, not {value!r}"


def _equal(golden: Any, ours: Any) -> bool:
    left, right = np.asarray(golden), np.asarray(ours)
    if left.shape != right.shape or (left.dtype.kind == "O") != (right.dtype.kind == "O"):
        return False
    if left.dtype.kind in "fc" and right.dtype.kind in "fc":
        return bool(np.array_equal(left, right, equal_nan=True))
    return bool(np.array_equal(left, right))


def _extras(golden: h5py.Group, ours: h5py.Group) -> Iterator[str]:
    yield from _extra_attributes(golden, ours)
    for name in ours:
        link = golden.get(name, getlink=True)
        if link is None:
            yield _child(ours, name)
        elif isinstance(link, h5py.HardLink) and name in ours:
            if isinstance(golden[name], h5py.Group) and isinstance(ours[name], h5py.Group):
                yield from _extras(golden[name], ours[name])
            else:
                yield from _extra_attributes(golden[name], ours[name])


def _extra_attributes(
    golden: h5py.Group | h5py.Dataset, ours: h5py.Group | h5py.Dataset
) -> Iterator[str]:
    for name in ours.attrs:
        if name not in golden.attrs:
            yield f"{ours.name}@{name}"
