"""One scan in its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5g, h5l

from tango_saver.errors import DatasetError
from tango_saver.model.plan import (
    Attributes,
    ExternalLink,
    FilePlan,
    Group,
    Node,
    SoftLink,
    StreamDataset,
    Value,
)
from tango_saver.model.records import Points
from tango_saver.sink.chunks import ChunkQueue, GrowingArray
from tango_saver.sink.nodes import Folders, create_node, exists, same_value, set_attributes
from tango_saver.sink.streams import (
    StreamWriter,
    TextColumn,
    create_stream,
    lengths_path,
    resume_stream,
)
from tango_saver.sink.trouble import HDF5_ERRORS, dataset_trouble


class ScanInFile:
    """The entries of one scan; made by ``TargetFile.begin`` and ``TargetFile.resume``.

    A node or companion that HDF5 refuses costs itself and becomes a warning; a channel that
    cannot be written raises DatasetError at its appends; only an error of the system
    (TargetUnusableError) ends the whole file.
    """

    def __init__(
        self,
        path: Path,
        root: h5g.GroupID,
        queue: ChunkQueue,
        plan: FilePlan,
        flush: Callable[[], None],
        leave: Callable[[ScanInFile], None],
    ) -> None:
        self.bytes_appended = 0
        """Of point values, before compression."""
        self._path = path
        self._root = root
        self._queue = queue
        self._plan = plan
        self._flush = flush
        self._leave = leave
        self._streams: dict[str, list[StreamWriter]] = {}
        self._failed: dict[str, DatasetError] = {}
        self._warnings: list[str] = []
        self._nodes: dict[str, Node] = {}
        self._taken: set[str] = set()
        """Paths of stream datasets and companions: no static node may replace them."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Nodes that could not be made, each one sentence."""
        return tuple(self._warnings)

    @property
    def failed_channels(self) -> Mapping[str, str]:
        """Channel -> why nothing more can be appended to it."""
        for channel in self._streams:
            self._look_for_problem(channel)
        return {channel: str(error) for channel, error in self._failed.items()}

    def append(self, channel: str, first: int, points: Points) -> None:
        """Append points; visible to readers after the next flush of the file.

        Args:
            channel: full name, one of the plan's streams.
            first: index of the first of the points, equal to the channel's length.
            points: not to be changed afterwards.

        Raises:
            DatasetError: the channel cannot be written, now or any more; others can.
            TargetUnusableError: the file cannot be written.
        """
        if not len(points):
            return
        for writer in self._writers(channel, first):
            with self._costs_the_channel(channel, writer.spec.path):
                n_bytes = writer.append(points)
        self.bytes_appended += n_bytes
        self._queue.make_room()

    def fill_gap(self, channel: str, first: int, stop: int) -> None:
        """Append fill values for the points ``first`` to ``stop`` (excluded), which are lost.

        Raises:
            DatasetError: see ``append``.
            TargetUnusableError: see ``append``.
        """
        if stop <= first:
            return
        for writer in self._writers(channel, first):
            with self._costs_the_channel(channel, writer.spec.path):
                writer.fill(stop - first)

    def update(self, plan: FilePlan) -> None:
        """Bring the nodes up to a newer plan of the same scan.

        Missing nodes are made, values that changed replaced, attributes added. Nothing is
        removed; stream datasets and companions stay as they are.

        Raises:
            TargetUnusableError: the file cannot be written.
        """
        self._plan = plan
        self._create(plan.nodes)

    def lengths(self) -> Mapping[str, int]:
        """Channel -> points appended; on disk after the next flush."""
        return {
            channel: _shortest(writers)
            for channel, writers in self._streams.items()
        }

    def confirmed(self) -> Mapping[str, int]:
        """Channel -> points on disk as of the last flush."""
        return {
            channel: min(writer.confirmed for writer in writers)
            for channel, writers in self._streams.items()
        }

    def finish(self, plan: FilePlan) -> None:
        """Write out every buffer, then, when all is on disk, the plan's last nodes.

        Raises:
            TargetUnusableError: the file cannot be written.
        """
        self.update(plan)
        for writer in self.live_writers():
            for column in writer.columns:
                with self._costs_the_column(writer, column):
                    column.complete()
        self._flush()
        self._create(plan.last)
        self.set_root_attributes(plan.final_root_attributes)
        self._flush()
        self._leave(self)

    def start(self, resumed: Mapping[str, int] | None) -> None:
        """Make the nodes of the plan; take up the streams that a crash left behind."""
        if resumed is not None:
            for channel, specs in self._plan.streams.items():
                with suppress(DatasetError):  # the next append raises it
                    self._take_up(channel, specs, resumed.get(channel, 0))
        self._create(self._plan.nodes)

    def set_root_attributes(self, attributes: Attributes) -> None:
        """Set attributes of the file itself."""
        with self._costs_itself("/"):
            set_attributes(self._root, attributes)

    def live_writers(self) -> list[StreamWriter]:
        """The datasets that can still be written."""
        return [
            writer
            for writers in self._streams.values()
            for writer in writers
            if writer.problem is None
        ]

    def write_partial(self) -> None:
        """Hand every point to HDF5."""
        for writer in self.live_writers():
            for column in writer.columns:
                with self._costs_the_column(writer, column):
                    column.write_partial()

    def replace(self) -> bool:
        """Put encoded chunks in the place of visible ones; whether there were any."""
        replaced = False
        for writer in self.live_writers():
            for column in writer.columns:
                with self._costs_the_column(writer, column):
                    replaced |= column.replace()
        return replaced

    def confirm(self) -> None:
        """The file was flushed: all points are on disk."""
        for writer in self.live_writers():
            writer.confirmed = writer.length

    def _writers(self, channel: str, first: int) -> list[StreamWriter]:
        self._look_for_problem(channel)
        if channel in self._failed:
            raise self._failed[channel]
        if channel not in self._plan.streams:
            raise DatasetError("the plan has no dataset for it", channel=channel)
        writers = self._streams.get(channel)
        length = _shortest(writers) if writers else 0
        if first != length:
            raise DatasetError(
                f"point {first} came when {length} points were in the file",
                channel=channel,
                advice="Resume the scan from the confirmed lengths",
            )
        if writers is None:
            writers = [self._make_stream(spec) for spec in self._plan.streams[channel]]
            self._streams[channel] = writers
        return writers

    def _look_for_problem(self, channel: str) -> None:
        for writer in self._streams.get(channel, ()):
            if writer.problem is not None:
                self._failed.setdefault(channel, writer.problem)

    def _make_stream(self, spec: StreamDataset) -> StreamWriter:
        with self._costs_the_channel(spec.channel, spec.path):
            self._free(spec.path)
            writer = create_stream(self._root, spec, self._queue)
        self._companions(spec)
        return writer

    def _take_up(
        self, channel: str, specs: tuple[StreamDataset, ...], confirmed: int
    ) -> None:
        writers: list[StreamWriter] = []
        for spec in specs:
            with self._costs_the_channel(channel, spec.path):
                # Several datasets of one channel go on from the same point.
                length = min([confirmed, *(writer.length for writer in writers)])
                writer = resume_stream(self._root, spec, self._queue, length)
            if writer is not None:
                writers.append(writer)
        if writers and len(writers) == len(specs):
            self._streams[channel] = writers
            for spec in specs:
                self._companions(spec)

    def _companions(self, spec: StreamDataset) -> None:
        self._taken |= {spec.path, lengths_path(spec)} | {
            node.path for node in spec.companions if not isinstance(node, Group)
        }
        folders = Folders(self._root)
        for node in spec.companions:
            with self._costs_itself(node.path):
                if isinstance(node, Group):
                    self._put_group(folders, node)
                elif isinstance(node, Value) or not self._is_link(node.path):
                    self._put(folders, node)

    def _create(self, nodes: Iterable[Node]) -> None:
        """Make nodes that are missing or have changed."""
        folders = Folders(self._root)
        for node in nodes:
            known = self._nodes.get(node.path)
            if node.path in self._taken or (known is not None and _same(known, node)):
                continue
            with self._costs_itself(node.path):
                if isinstance(node, Group):
                    self._put_group(folders, node)
                else:
                    self._put(folders, node)
            self._nodes[node.path] = node

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
            self._free(node.path)
            create_node(folders, node, self._dtype_of)

    def _free(self, path: str) -> None:
        """Remove a static dataset or a link; a group stays, and the caller's attempt fails."""
        if not exists(self._root, path):
            return
        if not self._is_link(path) and isinstance(h5py.Group(self._root)[path], h5py.Group):
            raise ValueError("a group of that name is there")
        self._root.unlink(path.encode())

    def _is_link(self, path: str) -> bool:
        encoded = path.encode()
        return exists(self._root, path) and (
            self._root.links.get_info(encoded).type != h5l.TYPE_HARD
        )

    def _dtype_of(self, path: str) -> np.dtype[Any]:
        for specs in self._plan.streams.values():
            for spec in specs:
                if spec.path == path and spec.dtype is not None:
                    return spec.dtype
        dtype: np.dtype[Any] = h5py.Group(self._root)[path].dtype
        return dtype

    @contextmanager
    def _costs_the_channel(self, channel: str, node: str = "") -> Iterator[None]:
        try:
            with dataset_trouble(self._path, node or channel, channel):
                yield
        except DatasetError as error:
            self._failed[channel] = error
            raise

    @contextmanager
    def _costs_the_column(
        self, writer: StreamWriter, column: GrowingArray | TextColumn
    ) -> Iterator[None]:
        try:
            with dataset_trouble(self._path, writer.spec.path, writer.spec.channel):
                yield
        except DatasetError as error:
            column.problem = error

    @contextmanager
    def _costs_itself(self, node: str) -> Iterator[None]:
        try:
            with dataset_trouble(self._path, node):
                yield
        except DatasetError as error:
            self._warnings.append(str(error))


def _shortest(writers: list[StreamWriter]) -> int:
    return min([writer.length for writer in writers])


def _same(left: Node, right: Node) -> bool:
    """Whether two nodes of the same path are stored alike."""
    if type(left) is not type(right):
        return False
    if isinstance(left, Value) and isinstance(right, Value) and not same_value(
        left.value, right.value
    ):
        return False
    if isinstance(left, SoftLink | ExternalLink) or isinstance(right, SoftLink | ExternalLink):
        return left == right
    return left.attributes.keys() == right.attributes.keys() and all(
        same_value(value, right.attributes[name]) for name, value in left.attributes.items()
    )
