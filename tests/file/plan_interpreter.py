"""Carries a plan out in the plainest way, so that a layout can be judged without the sink."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tango_saver.model.plan import (
    Attributes,
    ExternalLink,
    FilePlan,
    FirstPoints,
    Group,
    Node,
    ReshapedView,
    SoftLink,
    StreamDataset,
    Value,
)

Points = Sequence[Any]
"""The points of a channel, one array each."""


class PlanInterpreter:
    """Writes one file, one scan after the other."""

    def __init__(self, path: Path) -> None:
        self._file = h5py.File(path, "a")
        self._linked: set[str] = set()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def open_scan(self, plan: FilePlan) -> None:
        """Make what is known before the first point."""
        if not self._file.attrs:
            self._set_attributes(self._file, plan.root_attributes)
        self._apply(plan.nodes)

    def write_points(self, plan: FilePlan, points: Mapping[str, Points]) -> None:
        """Write channels whole; those without points leave no trace."""
        for channel, values in points.items():
            for dataset in plan.streams.get(channel, ()) if len(values) else ():
                self._write(dataset, values)
                self._apply(dataset.companions, replace=True)

    def close_scan(self, plan: FilePlan) -> None:
        """Make what is only known at the end."""
        self._apply(plan.nodes)
        self._apply(plan.last)
        self._set_attributes(self._file, plan.final_root_attributes)

    def _write(self, dataset: StreamDataset, values: Points) -> None:
        if dataset.dtype is None:
            written = self._file.create_dataset(
                dataset.path, data=list(values), dtype=h5py.string_dtype(), maxshape=(None,)
            )
        else:
            longest = tuple(
                max(sizes) for sizes in zip(*(np.shape(v) for v in values), strict=True)
            )
            shape = (len(values), *longest)
            fill = np.array(math.nan if dataset.dtype.kind in "fc" else 0, dataset.dtype)[()]
            written = self._file.create_dataset(
                dataset.path,
                shape,
                dataset.dtype,
                maxshape=(None,) * len(shape),
                chunks=dataset.storage.chunk,
                fillvalue=fill,
            )
            for index, value in enumerate(values):
                written[(index, *(slice(size) for size in np.shape(value)))] = value
        self._set_attributes(written, dataset.attributes)

    def _apply(self, nodes: Iterable[Node], *, replace: bool = False) -> None:
        for node in nodes:
            present = self._file.get(node.path, getlink=True) is not None
            match node:
                case Group():
                    group = self._file.require_group(node.path)
                    self._set_attributes(group, node.attributes)
                case Value():
                    if node.path not in self._linked:
                        self._value(node, present=present)
                case SoftLink() | ExternalLink() if replace or not present:
                    self._link(node, present=present)
                case ReshapedView() if not present:
                    self._view(node)
                case FirstPoints():
                    points = self._file[node.source][: node.n_points]
                    self._set_attributes(
                        self._file.create_dataset(node.path, data=points), node.attributes
                    )

    def _value(self, node: Value, *, present: bool) -> None:
        if present:
            del self._file[node.path]
        value = list(node.value) if isinstance(node.value, tuple) else node.value
        is_text = isinstance(node.value, str | tuple)
        made = self._file.create_dataset(
            node.path, data=value, dtype=h5py.string_dtype() if is_text else None
        )
        self._set_attributes(made, node.attributes)

    def _link(self, node: SoftLink | ExternalLink, *, present: bool) -> None:
        if present:
            del self._file[node.path]
        self._linked.add(node.path)
        if isinstance(node, SoftLink):
            self._file[node.path] = h5py.SoftLink(node.target)
        else:
            self._file[node.path] = h5py.ExternalLink(node.file, node.target)

    def _view(self, node: ReshapedView) -> None:
        source = self._file[node.source]
        layout = h5py.VirtualLayout(node.shape, source.dtype)
        n_points = math.prod(node.shape)
        layout[...] = h5py.VirtualSource(
            ".", node.source, (n_points,), source.dtype, maxshape=(None,)
        )[0:n_points]
        view = self._file.create_virtual_dataset(node.path, layout, fillvalue=source.fillvalue)
        self._set_attributes(view, node.attributes)

    def _set_attributes(self, target: h5py.Group | h5py.Dataset, attributes: Attributes) -> None:
        for name, value in attributes.items():
            if isinstance(value, tuple):
                target.attrs.create(name, list(value), dtype=h5py.string_dtype())
            else:
                target.attrs[name] = value
