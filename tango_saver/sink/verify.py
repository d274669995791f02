"""Reads finished files: to compare them with what was published, and to show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from tango_saver.errors import DatasetError, TargetUnusableError

_LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class TreeLine:
    """One object of a file, as people like to see it."""

    depth: int
    name: str
    text: str
    """NX_class of a group, dtype, shape or value of a dataset, target of a link."""


def read_points(file: Path, dataset: str) -> npt.NDArray[Any]:
    """All points of a dataset, ``(n_points, *point_shape)``, with its dtype.

    Raises:
        TargetUnusableError: the file cannot be opened.
        DatasetError: there is no such dataset.
    """
    with _opened(file) as opened:
        try:
            values: npt.NDArray[Any] = opened[dataset][()]
        except (KeyError, OSError, TypeError) as error:
            raise DatasetError(f"{file} has no readable dataset {dataset}: {error}") from error
        return values


def difference(file: Path, dataset: str, published: npt.NDArray[Any]) -> str:
    """How a dataset differs from the points that were published; empty if it does not.

    Args:
        file: a finished file.
        dataset: absolute path inside it.
        published: ``(n_points, *point_shape)``.
    """
    try:
        saved = read_points(file, dataset)
    except (DatasetError, TargetUnusableError) as error:
        return str(error)
    if saved.dtype != published.dtype:
        return f"{dataset} has dtype {saved.dtype}, published was {published.dtype}"
    if saved.shape != published.shape:
        return f"{dataset} has shape {saved.shape}, published was {published.shape}"
    if saved.tobytes() != published.tobytes():
        unequal = int(np.count_nonzero(saved != published))
        return f"{dataset} differs in {unequal} of {published.size} values"
    return ""


def tree(file: Path) -> Iterator[TreeLine]:
    """The objects of a file from the root down, links not followed.

    Raises:
        TargetUnusableError: the file cannot be opened.
    """
    with _opened(file) as opened:
        yield from _tree_of(opened, 0)


def _opened(file: Path) -> h5py.File:
    try:
        return h5py.File(file, "r", locking=False)
    except OSError as error:
        raise TargetUnusableError(f"{file} cannot be opened: {error}") from error


def _tree_of(group: h5py.Group, depth: int) -> Iterator[TreeLine]:
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            yield TreeLine(depth, name, f"→ {link.path}")
        elif isinstance(link, h5py.ExternalLink):
            yield TreeLine(depth, name, f"→ {link.filename}::{link.path}")
        elif isinstance(group[name], h5py.Group):
            yield TreeLine(depth, name, str(group[name].attrs.get("NX_class", "")))
            yield from _tree_of(group[name], depth + 1)
        else:
            yield TreeLine(depth, name, _dataset_text(group[name]))


def _dataset_text(dataset: h5py.Dataset) -> str:
    unit = f" {dataset.attrs['units']}" if "units" in dataset.attrs else ""
    if dataset.shape == ():
        value = dataset[()]
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return text[:_LONGEST_SHOWN] + unit
    return f"{dataset.dtype} {dataset.shape}{unit}"
