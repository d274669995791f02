"""A reader as any user is one: another process, plain h5py, ``locking=False``."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Self

import h5py


class ReaderProcess:
    """Opens the file anew for every look."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, mp_context=context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()

    def read(self, path: Path, *datasets: str) -> list[Any]:
        """Whole datasets; None for one that is not there."""
        values: list[Any] = pickle.loads(self._process.submit(_read, path, datasets).result())  # noqa: S301 - our own
        return values

    def foreign_modules(self) -> list[str]:
        """Which libraries the reader has loaded that a user may not have."""
        return self._process.submit(_foreign_modules).result()


def _read(path: Path, datasets: Sequence[str]) -> bytes:
    with h5py.File(path, "r", locking=False) as file:
        values = [file[dataset][()] if dataset in file else None for dataset in datasets]
    # Protocol 4, the pool's own, brings arrays into native byte order.
    return pickle.dumps(values, protocol=5)


def _foreign_modules() -> list[str]:
    return sorted({"isal", "hdf5plugin"} & set(sys.modules))
