"""The values that a benchmark publishes: counting statistics, known for every point.

A value is the sum of two tables of Poisson draws whose lengths have no common divisor, so
that it is Poisson distributed again, repeats itself nowhere within a scan, and can be
computed anew by whoever checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

_SCALAR_PERIODS = (99_991, 99_989)
_SPECTRUM_PERIODS = (997, 991)
_MEAN_COUNTS = 1000.0
_LINES = (0.08, 0.19, 0.31, 0.36, 0.52, 0.64)
_HEIGHTS = (60.0, 250.0, 900.0, 140.0, 40.0, 90.0)


@dataclass(frozen=True, slots=True)
class ChannelLoad:
    """One channel of a load."""

    name: str
    """Full name as BLISS writes it, ``diodes:c0``; the part behind the colon is unique."""
    spectrum_length: int
    """0 for a scalar."""
    offset: int
    """Which part of the tables it shows; different in every channel of a scan."""

    @property
    def short_name(self) -> str:
        """Name of the channel's group in the file."""
        return self.name.rpartition(":")[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64 for scalars, uint32 for spectra."""
        return np.dtype("<u4" if self.spectrum_length else "<f8")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one point."""
        return (self.spectrum_length,) if self.spectrum_length else ()

    def values(self, first: int, stop: int) -> npt.NDArray[Any]:
        """Points ``first`` to ``stop`` (excluded), shape ``(stop - first, *self.shape)``."""
        tables = _spectra(self.spectrum_length) if self.spectrum_length else _scalars()
        index = np.arange(first, stop) + self.offset
        left, right = (table[index % len(table)] for table in tables)
        return left + right


@cache
def _scalars() -> tuple[npt.NDArray[np.float64], ...]:
    random = np.random.default_rng(0)
    return tuple(
        random.poisson(_MEAN_COUNTS / 2, period).astype("<f8") for period in _SCALAR_PERIODS
    )


@cache
def _spectra(length: int) -> tuple[npt.NDArray[np.uint32], ...]:
    """A fluorescence spectrum: falling background, six lines on it."""
    random = np.random.default_rng(1)
    energy = np.linspace(0.0, 1.0, length)
    mean = 16.0 * np.exp(-3.0 * energy)
    for centre, height in zip(_LINES, _HEIGHTS, strict=True):
        mean += height * np.exp(-0.5 * ((energy - centre) / 0.006) ** 2)
    return tuple(
        random.poisson(mean / 2, (period, length)).astype("<u4") for period in _SPECTRUM_PERIODS
    )
