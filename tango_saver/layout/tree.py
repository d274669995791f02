"""The static nodes of one entry while they are collected: no path is ever used twice."""

from __future__ import annotations

import posixpath
from dataclasses import replace

import numpy as np

from tango_saver.model.plan import (
    Attributes,
    ExternalLink,
    Group,
    Node,
    SoftLink,
    StaticValue,
    Value,
)


class EntryTree:
    """Collects the nodes of one entry.

    Groups of the same path merge. Anything else that meets a taken path gets a name of
    its own, ``name_2``, and a warning: nothing replaces anything.
    """

    def __init__(self, entry: str) -> None:
        self.root = f"/{entry}"
        self.warnings: list[str] = []
        self._nodes: dict[str, Node] = {}
        self._reserved: set[str] = set()
        self._classes: dict[str, str] = {}

    def reserve(self, path: str) -> None:
        """Keep a path for a dataset or link that comes with the points of a channel."""
        self._reserved.add(path)

    def release(self, path: str) -> None:
        """Keep a path no longer."""
        self._reserved.discard(path)

    def reserve_group(self, path: str, nx_class: str) -> None:
        """Keep a path for a group that may come later; whoever makes it, its class is fixed."""
        self._classes.setdefault(path, nx_class)

    def is_taken(self, path: str) -> bool:
        """Whether a group, dataset or link has this path, now or with a channel's points."""
        return path in self._nodes or path in self._reserved or path in self._classes

    def offers(self, group: str, dataset: str, nx_class: str) -> bool:
        """Whether ``dataset`` can go into ``group``: free, and the group of that class."""
        if group in self._reserved or self._classes.get(group, nx_class) != nx_class:
            return False
        return not self.is_taken(dataset)

    def free_path(self, path: str) -> str:
        """The path itself, or with the first suffix ``_2``, ``_3`` ... that is not taken."""
        candidate, count = path, 1
        while self.is_taken(candidate):
            count += 1
            candidate = f"{path}_{count}"
        return candidate

    def group(self, path: str, nx_class: str, attributes: Attributes | None = None) -> str:
        """Make a group, or merge with the one there is; returns its path.

        A group that exists or is reserved keeps its class.
        """
        present = self._nodes.get(path)
        occupied = path in self._reserved or (
            present is not None and not isinstance(present, Group)
        )
        if occupied:
            path = self._renamed(path)
            present = None
        nx_class = self._classes.setdefault(path, nx_class)
        merged = {**(attributes or {}), "NX_class": nx_class}
        if isinstance(present, Group):
            merged = {**merged, **present.attributes}
        self._nodes[path] = Group(path, merged)
        return path

    def value(self, path: str, value: StaticValue, attributes: Attributes | None = None) -> str:
        """Make a dataset; returns its path. The same value again is no second dataset."""
        present = self._nodes.get(path)
        if isinstance(present, Value) and _same(present.value, value):
            self._nodes[path] = replace(
                present, attributes={**(attributes or {}), **present.attributes}
            )
            return path
        path = self._renamed(path) if self.is_taken(path) else path
        self._nodes[path] = Value(path, value, attributes or {})
        return path

    def link(self, node: SoftLink | ExternalLink) -> None:
        """Make a link."""
        if self.is_taken(node.path):
            node = replace(node, path=self._renamed(node.path))
        self._nodes[node.path] = node

    def attribute(self, path: str, name: str, value: StaticValue) -> bool:
        """Set an attribute of a group or dataset of the tree; False if there is none."""
        node = self._nodes.get(path)
        if not isinstance(node, Group | Value):
            return False
        self._nodes[path] = replace(node, attributes={**node.attributes, name: value})
        return True

    def nodes(self) -> tuple[Node, ...]:
        """All nodes, parents before children."""
        return tuple(self._nodes[path] for path in sorted(self._nodes, key=_parts))

    def _renamed(self, path: str) -> str:
        free = self.free_path(path)
        self.warnings.append(f"{path} is taken, saved as {posixpath.basename(free)}")
        return free


def _same(left: StaticValue, right: StaticValue) -> bool:
    return type(left) is type(right) and bool(np.array_equal(left, right))


def _parts(path: str) -> list[str]:
    return path.split("/")
