"""One scan in its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from h5py import h5d, h5g

from tango_saver.errors import DatasetError
from tango_saver.model.plan import Attributes, FilePlan, FrameRun, StreamDataset
from tango_saver.model.records import Points
from tango_saver.sink.chunk_queue import ChunkQueue
from tango_saver.sink.chunks import GrowingArray
from tango_saver.sink.nodes import remove_attributes, same_attributes, set_attributes
from tango_saver.sink.references import ReferenceWriter
from tango_saver.sink.statics import StaticNodes
from tango_saver.sink.streams import (
    StreamWriter,
    TextColumn,
    create_stream,
    lengths_path,
    resume_stream,
)
from tango_saver.sink.trouble import dataset_trouble


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
        self._references: dict[str, ReferenceWriter] = {}
        self._failed: dict[str, DatasetError] = {}
        self._statics = StaticNodes(path, root, plan)

    @property
    def entries(self) -> Sequence[str]:
        """Names of its entries in the file."""
        return self._plan.entries

    @property
    def warnings(self) -> tuple[str, ...]:
        """Nodes that could not be made, each one sentence."""
        hidden = [writer.trouble for writer in self._references.values() if writer.trouble]
        return (*self._statics.warnings, *hidden)

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

    def show_frames(
        self,
        channel: str,
        runs: Sequence[FrameRun],
        n_frames: int,
        missing: Sequence[tuple[int, int]],
    ) -> None:
        """Show frames that lie in other files; visible to readers after the next flush.

        Args:
            channel: full name, one of the plan's references.
            runs: see ``ReferenceWriter.show``, like the next two.
            n_frames: shown altogether.
            missing: ranges among them that cannot be read.

        Raises:
            DatasetError: the channel cannot be shown, now or any more; others can.
            TargetUnusableError: the file cannot be written.
        """
        if channel in self._failed:
            raise self._failed[channel]
        writer = self._references.get(channel)
        if writer is None:
            spec = self._plan.references[channel]
            writer = ReferenceWriter(self._path, self._root, spec, self._statics)
            self._references[channel] = writer
        with self._costs_the_channel(channel, writer.spec.path):
            writer.show(runs, n_frames, missing)

    def update(self, plan: FilePlan) -> None:
        """Bring the nodes up to a newer plan of the same scan.

        Missing nodes are made, values that changed replaced, attributes added. Nothing is
        removed unless the plan is exact; stream datasets and companions stay as they are.

        Raises:
            TargetUnusableError: the file cannot be written.
        """
        self._plan = plan
        if plan.exact:
            self._renew_stream_attributes(plan)
        self._statics.follow(plan)

    def lengths(self) -> Mapping[str, int]:
        """Channel -> points appended; on disk after the next flush."""
        return {channel: _shortest(writers) for channel, writers in self._streams.items()}

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
        self._statics.create(plan.last)
        self._statics.set_final_root_attributes(plan.final_root_attributes)
        self._flush()
        self._leave(self)

    def start(self, resumed: Mapping[str, int] | None) -> None:
        """Make the nodes of the plan; take up the streams that a crash left behind."""
        if resumed is not None:
            for channel, specs in self._plan.streams.items():
                with suppress(DatasetError):  # the next append raises it
                    self._take_up(channel, specs, resumed.get(channel, 0))
        self._statics.create(self._plan.nodes)
        for channel, specs in self._plan.streams.items():
            if any(spec.at_once for spec in specs) and channel not in self._failed:
                with suppress(DatasetError):  # the next append raises it
                    self._writers(channel, self.lengths().get(channel, 0))

    def set_root_attributes(self, attributes: Attributes) -> None:
        """Set attributes of the file itself."""
        self._statics.set_root_attributes(attributes)

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
            self._statics.free(spec.path)
            writer = create_stream(self._root, spec, self._queue)
        self._statics.create_companions(spec, _paths(spec))
        return writer

    def _take_up(self, channel: str, specs: tuple[StreamDataset, ...], confirmed: int) -> None:
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
                self._statics.create_companions(spec, _paths(spec))

    def _renew_stream_attributes(self, plan: FilePlan) -> None:
        """Bring the attributes of stream datasets up to the plan; tell of those it lacks."""
        planned = {spec.path: spec for specs in plan.streams.values() for spec in specs}
        for writer in [writer for writers in self._streams.values() for writer in writers]:
            path, spec = writer.spec.path, planned.get(writer.spec.path)
            if spec is None or spec.channel != writer.spec.channel:
                self._statics.warnings.append(
                    f"{path} in {self._path} is not in the newest plan of the scan; "
                    f"the points of channel {writer.spec.channel} stay there"
                )
            elif not same_attributes(writer.spec.attributes, spec.attributes):
                gone = writer.spec.attributes.keys() - spec.attributes.keys()
                with self._statics.costs_itself(path):
                    made = h5d.open(self._root, path.encode())
                    remove_attributes(made, gone)
                    set_attributes(made, spec.attributes)
                writer.spec = replace(writer.spec, attributes=spec.attributes)

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


def _paths(spec: StreamDataset) -> tuple[str, ...]:
    """Of all that is made for the points of a dataset."""
    return (spec.path, lengths_path(spec)) if None in spec.shape else (spec.path,)


def _shortest(writers: list[StreamWriter]) -> int:
    return min([writer.length for writer in writers])
