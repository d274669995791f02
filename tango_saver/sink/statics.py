"""The nodes of a scan that hold no points, kept in step with its plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5g, h5l

from tango_saver.errors import DatasetError
from tango_saver.model.plan import (
    Attributes,
    FilePlan,
    Group,
    Node,
    PixelDataset,
    ReferenceDataset,
    StreamDataset,
    Value,
)
from tango_saver.sink.nodes import (
    Folders,
    create_node,
    exists,
    remove_attributes,
    same_node,
    set_attributes,
)
from tango_saver.sink.trouble import HDF5_ERRORS, dataset_trouble


class StaticNodes:
    """What was made of the plans of one scan; a node that HDF5 refuses costs itself.

    Args:
        path: of the file, for what is said.
        root: of the file.
        plan: the first one.
    """

    def __init__(self, path: Path, root: h5g.GroupID, plan: FilePlan) -> None:
        self.plan = plan
        """The newest one."""
        self.warnings: list[str] = []
        """What could not be made, each one sentence."""
        self._path = path
        self._root = root
        self._nodes: dict[str, Node] = {}
        self._taken: set[str] = set()
        """Paths of stream datasets and companions: no static node may replace them."""

    def follow(self, plan: FilePlan) -> None:
        """Make what is missing or has changed; remove what an exact plan lacks."""
        self.plan = plan
        if plan.exact:
            self._remove_others()
        self.create(plan.nodes)

    def create(self, nodes: Iterable[Node]) -> None:
        """Make nodes that are missing or have changed."""
        folders = Folders(self._root)
        for node in nodes:
            known = self._nodes.get(node.path)
            if node.path in self._taken or (known is not None and same_node(known, node)):
                continue
            with self.costs_itself(node.path):
                if isinstance(node, Group):
                    self._put_group(folders, node)
                    if self.plan.exact and isinstance(known, Group):
                        gone = known.attributes.keys() - node.attributes.keys()
                        remove_attributes(h5g.open(self._root, node.path.encode()), gone)
                else:
                    self._put(folders, node)
            self._nodes[node.path] = node

    def create_companions(
        self, spec: StreamDataset | ReferenceDataset | PixelDataset, paths: Iterable[str]
    ) -> None:
        """Make what comes with the dataset of a channel.

        Args:
            spec: the dataset.
            paths: of all that is made for its points.
        """
        links = {node.path for node in spec.companions if not isinstance(node, Group)}
        self._taken |= {*paths, *links}
        folders = Folders(self._root)
        for node in spec.companions:
            with self.costs_itself(node.path):
                if isinstance(node, Group):
                    self._put_group(folders, node)
                elif isinstance(node, Value) or not self._is_link(node.path):
                    self._put(folders, node)

    def set_root_attributes(self, attributes: Attributes) -> None:
        """Set attributes of the file itself."""
        with self.costs_itself("/"):
            set_attributes(self._root, attributes)

    def set_final_root_attributes(self, attributes: Attributes) -> None:
        """Set attributes of the file at the end of a scan.

        ``default`` never goes back to an older entry: of scans that overlap, the newest is
        what a viewer shows, whichever finished last.
        """
        shown = h5py.Group(self._root).attrs.get("default", "")
        wanted = attributes.get("default", "")
        if is_older_entry(str(wanted), str(shown)) and exists(self._root, f"/{shown}"):
            attributes = {name: value for name, value in attributes.items() if name != "default"}
        self.set_root_attributes(attributes)

    def free(self, path: str) -> None:
        """Remove a static dataset or a link; a group stays.

        Raises:
            ValueError: it is a group.
        """
        if not exists(self._root, path):
            return
        if not self._is_link(path) and isinstance(h5py.Group(self._root)[path], h5py.Group):
            raise ValueError("a group of that name is there")
        self._root.unlink(path.encode())

    @contextmanager
    def costs_itself(self, node: str) -> Iterator[None]:
        """What HDF5 refuses here becomes a warning."""
        try:
            with dataset_trouble(self._path, node):
                yield
        except DatasetError as error:
            self.warnings.append(str(error))

    def _remove_others(self) -> None:
        """Remove the nodes of earlier plans that are not in this one, or not of that kind."""
        wanted = {node.path: isinstance(node, Group) for node in self.plan.nodes}
        kept = {node.path for node in self.plan.last}
        kept.update(spec.path for specs in self.plan.streams.values() for spec in specs)
        for path in sorted(self._nodes, key=lambda path: -path.count("/")):
            is_group = isinstance(self._nodes[path], Group)
            if wanted.get(path) is is_group or path in kept:
                continue
            with self.costs_itself(path):
                # A group that still has something in it holds points, which stay.
                if not is_group:
                    self.free(path)
                elif not h5g.open(self._root, path.encode()).get_num_objs():
                    self._root.unlink(path.encode())
            del self._nodes[path]

    def _put_group(self, folders: Folders, group: Group) -> None:
        try:
            create_node(folders, group, self._dtype_of)
        except HDF5_ERRORS:
            if not exists(self._root, group.path):
                raise
            set_attributes(h5g.open(self._root, group.path.encode()), group.attributes)

    def _put(self, folders: Folders, node: Node) -> None:
        """Make a node, in the place of what is there."""
        try:
            create_node(folders, node, self._dtype_of)
        except HDF5_ERRORS:
            if not exists(self._root, node.path):
                raise
            self.free(node.path)
            create_node(folders, node, self._dtype_of)

    def _is_link(self, path: str) -> bool:
        encoded = path.encode()
        return exists(self._root, path) and (
            self._root.links.get_info(encoded).type != h5l.TYPE_HARD
        )

    def _dtype_of(self, path: str) -> np.dtype[Any]:
        streams: Mapping[str, tuple[StreamDataset, ...]] = self.plan.streams
        for specs in streams.values():
            for spec in specs:
                if spec.path == path and spec.dtype is not None:
                    return spec.dtype
        dtype: np.dtype[Any] = h5py.Group(self._root)[path].dtype
        return dtype


def is_older_entry(entry: str, other: str) -> bool:
    """Whether ``entry`` comes before ``other``, both named ``<scan>.<part>`` as BLISS does."""
    try:
        numbers, others = ([int(part) for part in name.split(".")] for name in (entry, other))
    except ValueError:
        return False
    return numbers < others
