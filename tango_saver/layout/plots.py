"""The default plot of an entry: an NXdata that viewers open by themselves.

``plotselect`` shows what the user chose (``display_extra``), else ``plot`` shows the most
telling channel. Both come in two steps, because a viewer refuses an NXdata whose signals
and axes differ in length, and channels grow at their own pace: with its first point, the
signal alone; with the end of the scan, when the lengths are known, its axes and the other
signals that fit. A plot on the grid of a mesh has its full size from the start.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from tango_saver.layout.instrument import PlacedChannel
from tango_saver.layout.metadata import text
from tango_saver.layout.tree import EntryTree
from tango_saver.model.plan import (
    Attributes,
    FirstPoints,
    Group,
    Node,
    ReshapedView,
    SoftLink,
    StaticValue,
    Value,
)
from tango_saver.model.scan import Json, ScanDescription

CHOSEN, AUTOMATIC = "plotselect", "plot"
PLOT_NAMES = (CHOSEN, AUTOMATIC)
_LONGEST_INDEX = 1 << 16
"""Points along a dimension that gets an axis of its own although nothing is known of it."""
_INNER = {1: ("bin",), 2: ("row", "column")}
"""Names of such axes of a point, by its dimensions."""
_TIMER_CHANNELS = ("elapsed_time", "epoch")


@dataclass(frozen=True, slots=True)
class Plot:
    """The plot of an entry."""

    companions: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    """Channel name -> what comes with its first point."""
    nodes: tuple[Node, ...] = ()
    """What is made once all points are counted."""
    last: tuple[Node, ...] = ()
    """What is made once all points are on disk."""
    name: str = ""
    """The entry's ``default`` once all points are on disk, empty if nothing can be plotted."""


@dataclass(frozen=True, slots=True)
class _Grid:
    """The grid of a mesh scan, slow axis first."""

    axes: tuple[PlacedChannel, ...]
    positions: tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(positions) for positions in self.positions)


def plan_plot(
    tree: EntryTree,
    description: ScanDescription,
    placed: tuple[PlacedChannel, ...],
    n_points: Mapping[str, int] | None,
) -> Plot:
    """Choose and lay out the plot of an entry.

    Args:
        tree: of the entry, with everything else in it.
        description: of the scan.
        placed: the channels of the entry.
        n_points: channel name -> points on disk, once the scan is over; None before.
    """
    plottable = [item for item in placed if _is_plottable(item)]
    present = [item for item in plottable if n_points is None or _count(n_points, item)]
    axes = [item for item in plottable if item.is_positioner]
    names = {item.channel.name: item for item in present}
    chosen = [names[name] for name in _selection(description) if name in names]
    path = f"{tree.root}/{CHOSEN if chosen else AUTOMATIC}"
    if not chosen:
        preferred = _preferred(description)
        chosen = sorted(present, key=lambda item: _rank(item, preferred))[:1]
    grid = _grid(axes)
    if grid is not None and chosen and chosen[0].channel.shape == ():
        plot = _mesh_plot(path, tree.root, grid, chosen)
        if plot.name:
            return plot
    return _flat_plot(path, tree.root, chosen, axes, n_points)


def _is_plottable(item: PlacedChannel) -> bool:
    """Viewers plot real numbers, of shapes that are the same for all points."""
    dtype, shape = item.channel.dtype, item.channel.shape
    return (
        item.is_stream
        and dtype is not None
        and dtype.kind in "iuf"
        and shape is not None
        and None not in shape
    )


def _count(n_points: Mapping[str, int], item: PlacedChannel) -> int:
    return n_points.get(item.channel.name, 0)


def _selection(description: ScanDescription) -> list[str]:
    """The channels that the user chose to see."""
    display = description.info.get("display_extra")
    if not isinstance(display, Mapping):
        return []
    for key in ("displayed_channels", "plotselect"):
        names = display.get(key)
        if isinstance(names, Sequence) and not isinstance(names, str) and names:
            return list(dict.fromkeys(name for name in names if isinstance(name, str)))
    return []


def _preferred(description: ScanDescription) -> frozenset[str]:
    """The channels that the scan itself draws over its axis."""
    plots: Json = description.info.get("plots")
    if not isinstance(plots, Sequence):
        return frozenset()
    items = [
        item
        for plot in plots
        if isinstance(plot, Mapping) and isinstance(plot.get("items"), Sequence)
        for item in plot["items"]
        if isinstance(item, Mapping)
    ]
    drawn = [item.get(key) for item in items for key in ("y", "value")]
    return frozenset(name for name in drawn if isinstance(name, str))


def _rank(item: PlacedChannel, preferred: frozenset[str]) -> tuple[bool, ...]:
    """Smaller is more telling: detectors before axes and timers, scalars before spectra."""
    is_time = item.channel.name.rpartition(":")[2] in _TIMER_CHANNELS
    return (
        item.is_positioner,
        is_time,
        item.channel.name not in preferred,
        item.channel.shape != (),
        not item.place.principal,
    )


def _grid(axes: Sequence[PlacedChannel]) -> _Grid | None:
    """The grid of a mesh whose lines all run in the same direction, else None."""
    hints = [(item, item.channel.hints) for item in axes if "axis_id" in item.channel.hints]
    if len(hints) < 2:  # noqa: PLR2004 - a mesh has at least two axes
        return None
    positions = []
    for _, hint in hints:
        position = _axis_positions(hint)
        if position is None:
            return None
        positions.append(position)
    expected = {hint.get("points") for _, hint in hints}
    if expected != {math.prod(len(position) for position in positions)}:
        return None
    numbers = [hint["axis_id"] for _, hint in hints]
    if not all(isinstance(number, int) for number in numbers):
        return None
    slow_first = sorted(range(len(hints)), key=lambda index: -numbers[index])
    return _Grid(
        tuple(hints[index][0] for index in slow_first),
        tuple(positions[index] for index in slow_first),
    )


def _axis_positions(
    hint: Mapping[str, Json],
) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    """The positions that were asked for, None unless all lines run in the same direction."""
    if hint.get("axis_kind") != "forth":
        return None
    n_points, start, stop = (hint.get(key) for key in ("axis_points", "start", "stop"))
    limits = [value for value in (start, stop) if isinstance(value, int | float)]
    if len(limits) != 2 or not isinstance(n_points, int) or n_points < 1:  # noqa: PLR2004 - both
        return None
    return np.linspace(float(limits[0]), float(limits[1]), n_points)


def _entry_default(entry: str, path: str) -> Group:
    return Group(entry, {"NX_class": "NXentry", "default": path.rpartition("/")[2]})


def _mesh_plot(path: str, entry: str, grid: _Grid, chosen: Sequence[PlacedChannel]) -> Plot:
    """Scalars seen on the grid. The axes are the positions that were asked for."""
    signals = [item for item in chosen if item.channel.shape == ()]
    interpretation = {2: "image", 3: "vertex"}.get(len(grid.shape))
    views = {
        item.channel.name: ReshapedView(
            f"{path}/{item.link}",
            item.path,
            grid.shape,
            {"interpretation": interpretation} if interpretation else {},
        )
        for item in signals
        if not any(item is axis for axis in grid.axes)
    }
    drawn = [item for item in signals if item.channel.name in views]
    if not drawn:
        return Plot()
    positions = [
        Value(f"{path}/{axis.link}", position, _axis_attributes(axis))
        for axis, position in zip(grid.axes, grid.positions, strict=True)
    ]
    first, *others = drawn
    attributes: dict[str, StaticValue] = {
        "NX_class": "NXdata",
        "signal": first.link,
        "axes": tuple(axis.link for axis in grid.axes),
    }
    alone: tuple[Node, ...] = (
        views[first.channel.name],
        *positions,
        Group(path, attributes),
        _entry_default(entry, path),
    )
    all_views = tuple(views[item.channel.name] for item in drawn)
    if others:
        attributes = {**attributes, "auxiliary_signals": tuple(item.link for item in others)}
    nodes: tuple[Node, ...] = (*all_views, *positions, Group(path, attributes))
    return Plot({first.channel.name: alone}, nodes, name=path.rpartition("/")[2])


def _flat_plot(
    path: str,
    entry: str,
    chosen: Sequence[PlacedChannel],
    axes: Sequence[PlacedChannel],
    n_points: Mapping[str, int] | None,
) -> Plot:
    """Links to the signals as they are, over the scanned axes."""
    if not chosen:
        return Plot()
    first, *others = chosen
    attributes: dict[str, StaticValue] = {"NX_class": "NXdata", "signal": first.link}
    alone: tuple[Node, ...] = (
        SoftLink(f"{path}/{first.link}", first.path),
        Group(path, attributes),
        _entry_default(entry, path),
    )
    companions = {first.channel.name: alone}
    if n_points is None:
        return Plot(companions, name=path.rpartition("/")[2])
    length = _count(n_points, first)
    fitting = [
        item
        for item in others
        if item.channel.shape == first.channel.shape and _count(n_points, item) == length
    ]
    if fitting:
        attributes = {**attributes, "auxiliary_signals": tuple(item.link for item in fitting)}
    shown = [] if first.is_positioner else _shown_axes(axes, first, n_points)
    inner = first.channel.shape or ()
    taken = {item.link for item in (first, *fitting, *shown)}
    indices = _index_axes(path, inner if shown else (length, *inner), len(inner), taken)
    names = (
        *(axis.link for axis in shown),
        *(index.path.rpartition("/")[2] if index else "." for index in indices),
    )
    with_axes = attributes if set(names) == {"."} else {**attributes, "axes": names}
    whole = [axis for axis in shown if _count(n_points, axis) == length]
    # A timer is often one ahead of its counters.
    cut = [axis for axis in shown if axis not in whole]
    nodes: tuple[Node, ...] = (
        *(SoftLink(f"{path}/{item.link}", item.path) for item in (first, *fitting, *whole)),
        *(index for index in indices if index),
        Group(path, attributes if cut else with_axes),
    )
    copies = (
        FirstPoints(f"{path}/{axis.link}", axis.path, length, _axis_attributes(axis))
        for axis in cut
    )
    last: tuple[Node, ...] = (*copies, Group(path, with_axes)) if cut else ()
    return Plot(companions, nodes, last, path.rpartition("/")[2])


def _index_axes(
    path: str, extents: tuple[int | None, ...], n_inner: int, taken: Collection[str]
) -> list[Value | None]:
    """An axis for each dimension without one; None if there are too many points along it.

    Without them silx draws no image of spectra over an uneven axis; validators want a name for
    each dimension, and for some ``.`` is none.
    """
    inner = _INNER.get(n_inner, tuple(f"dimension_{number}" for number in range(1, n_inner + 1)))
    names = ("point", *inner)[1 + n_inner - len(extents) :]
    used, axes = set(taken), list[Value | None]()
    for name, extent in zip(names, extents, strict=True):
        if not extent or extent > _LONGEST_INDEX:
            axes.append(None)
            continue
        free = next(n for number in count(1) if (n := _numbered(name, number)) not in used)
        used.add(free)
        axes.append(Value(f"{path}/{free}", np.arange(extent, dtype=np.int32)))
    return axes


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"


def _shown_axes(
    axes: Sequence[PlacedChannel], signal: PlacedChannel, n_points: Mapping[str, int]
) -> list[PlacedChannel]:
    """The axes with at least as many points as the signal: both of a plane, else the first."""
    long_enough = [axis for axis in axes if _count(n_points, axis) >= _count(n_points, signal)]
    plane = [axis for axis in long_enough if "axis_id" in axis.channel.hints]
    if len(plane) == 2 and signal.channel.shape == ():  # noqa: PLR2004 - x and y of a scatter plot
        return sorted(plane, key=lambda axis: str(axis.channel.hints["axis_id"]))
    return long_enough[:1]


def _axis_attributes(axis: PlacedChannel) -> Attributes:
    unit = text(axis.channel.unit)
    return {"units": unit, "long_name": f"{axis.link} ({unit})"} if unit else {}
