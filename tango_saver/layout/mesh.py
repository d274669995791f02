"""Mesh scans whose channels keep their shape: the grid, and the flat points seen on it."""

from __future__ import annotations

import math

import numpy as np

from tango_saver.model.plan import (
    Attributes,
    Node,
    ReshapedView,
    Selection,
    VirtualDataset,
    VirtualSource,
)
from tango_saver.model.scan import ChannelSpec, ScanDescription

_MOST_ROWS = 100_000
"""Of a grid of spectra or images: each one is a mapping of its own."""


def mesh_shape(description: ScanDescription) -> tuple[int, ...]:
    """The grid that a mesh scan was asked for, slow axis first; ``()`` if it is none."""
    n_axes = description.info.get("data_dim")
    if not isinstance(n_axes, int) or not 2 <= n_axes <= 8:  # noqa: PLR2004 - no scan has more
        return ()
    extents = [description.info.get(f"npoints{axis}") for axis in range(n_axes, 0, -1)]
    grid = tuple(n for n in extents if isinstance(n, int) and not isinstance(n, bool) and n > 0)
    if len(grid) != n_axes or math.prod(grid) != description.n_points:
        return ()
    return grid if math.prod(grid[:-1]) <= _MOST_ROWS else ()


def on_the_grid(
    path: str, flat: str, channel: ChannelSpec, grid: tuple[int, ...], attributes: Attributes
) -> Node:
    """The points of a channel on the grid, ``(*grid, *point_shape)``; row by row.

    Args:
        path: of what is made.
        flat: dataset of the points, in the same file.
        channel: with points of a fixed shape.
        grid: slow axis first.
        attributes: of what is made.
    """
    shape = tuple(extent or 0 for extent in channel.shape or ())
    if not shape or channel.dtype is None:
        return ReshapedView(path, flat, grid, attributes)
    width, zeros = grid[-1], (0,) * len(shape)
    sources = []
    for row, index in enumerate(np.ndindex(grid[:-1])):
        inside = Selection((row * width, *zeros), *_block((width, *shape)))
        outside = Selection((*index, 0, *zeros), *_block((*(1 for _ in index), width, *shape)))
        sources.append(VirtualSource(".", flat, inside, outside))
    return VirtualDataset(path, channel.dtype, (*grid, *shape), tuple(sources), attributes)


def _block(extent: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Count, stride and block of one block of this extent."""
    ones = (1,) * len(extent)
    return ones, extent, extent
