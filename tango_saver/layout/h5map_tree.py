"""One file of a map: its tree of items becomes the nodes and datasets of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import tango_saver
from tango_saver.errors import LayoutError
from tango_saver.layout.h5map_files import LinkedFiles
from tango_saver.layout.h5map_items import (
    external_binary,
    external_link,
    soft_link,
    virtual_dataset,
)
from tango_saver.layout.h5map_values import (
    VALUE_TYPES,
    decode_attribute,
    decode_value,
    shown,
    stream_name,
)
from tango_saver.layout.metadata import DEEPEST_GROUP, text
from tango_saver.layout.moment import Moment
from tango_saver.layout.references import frame_files
from tango_saver.layout.storage import choose_storage
from tango_saver.model.plan import (
    Attributes,
    ExternalLink,
    FilePlan,
    Group,
    Node,
    PointKind,
    ReferenceDataset,
    SoftLink,
    StaticValue,
    StreamDataset,
    Value,
)
from tango_saver.model.scan import ChannelKind, ChannelSpec, Json, ScanDescription

MOST_WARNINGS = 50
"""Per file; a map with ten thousand broken items shall not flood the report."""

_REASON = "named by the session's map"


def is_group(item: Json) -> bool:
    """Whether an item of a map is a group."""
    return isinstance(item, Mapping) and item.get("type") == "group"


@dataclass
class FileMap:
    """Collects the plan of one file."""

    description: ScanDescription
    moment: Moment
    target: str
    own: FilePlan | None = None
    """Of the scan's own file; None if this is it."""
    nodes: dict[str, Node] = field(default_factory=dict)
    streams: dict[str, list[StreamDataset]] = field(default_factory=dict)
    references: dict[str, ReferenceDataset] = field(default_factory=dict)
    ends: dict[str, Node] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def plan(self, root: Mapping[str, Json]) -> FilePlan:
        """The plan of the file that ``root`` is the map of."""
        attributes = dict(self._attributes("/", root))
        default = attributes.pop("default", None)
        children = self._children("/", root)
        for name, item in children.items():
            self._add("", name, item, 0)
        entries = [name for name, item in children.items() if _is_entry(item)]
        for entry in entries:
            self._add_end_reason(f"/{entry}")
            self._hold_back_end(f"/{entry}")
            self._add_writer(f"/{entry}")
        self._make_room()
        if default is None and entries:
            default = entries[-1]
        ended = bool(self.moment.end_time)
        if len(self.warnings) > MOST_WARNINGS:
            n_more = len(self.warnings) - MOST_WARNINGS
            self.warnings[MOST_WARNINGS:] = [f"{n_more} more items of the map are left out"]
        self._add_warnings(entries)
        return FilePlan(
            target=self.target,
            entries=tuple(children),
            root_attributes={**self._root_attributes(), **attributes},
            nodes=tuple(self.nodes.values()),
            streams={name: tuple(datasets) for name, datasets in self.streams.items()},
            references=self.references,
            last=tuple(self._end(entry) for entry in entries) if ended else (),
            final_root_attributes=self._final_root_attributes(default) if ended else {},
            warnings=tuple(self.warnings),
            exact=True,
        )

    def _root_attributes(self) -> Attributes:
        return {
            "NX_class": "NXroot",
            "creator": "tango_saver",
            "creator_version": tango_saver.__version__,
            "file_name": text(self.target),
            "file_time": self.moment.date,
        }

    def _final_root_attributes(self, default: StaticValue | None) -> Attributes:
        attributes: dict[str, StaticValue] = {"file_update_time": self.moment.date}
        return attributes if default is None else {**attributes, "default": default}

    def _warn(self, path: str, fact: str) -> None:
        self.warnings.append(f"{path} in the map of {self.target} is left out: {fact}")

    def _children(self, path: str, group: Mapping[str, Json]) -> Mapping[str, Json]:
        """The members of a group that have usable names."""
        children = group.get("children")
        if children is None:
            return {}
        if not isinstance(children, Mapping):
            self._warn(path, "its children are no object")
            return {}
        usable = {name: item for name, item in children.items() if _is_name(name)}
        for name in sorted(children.keys() - usable.keys()):
            self._warn(f"{path.rstrip('/')}/{text(name)}", "this is no name in HDF5")
        return usable

    def _attributes(self, path: str, item: Mapping[str, Json]) -> Attributes:
        given = item.get("attributes")
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self._warn(f"{path}@", "its attributes are no object")
            return {}
        attributes = {}
        for name, value in given.items():
            if not name or text(name) != name:
                self._warn(f"{path}@{text(name)}", "this is no name in HDF5")
                continue
            try:
                attributes[name] = decode_attribute(value)
            except LayoutError as error:
                self._warn(f"{path}@{name}", error.fact)
        return attributes

    def _add(self, parent: str, name: str, item: Json, depth: int) -> None:
        path = f"{parent}/{name}"
        try:
            if not is_group(item):
                self._add_leaf(path, item)
                return
        except LayoutError as error:
            self._warn(path, error.fact)
            return
        if depth >= DEEPEST_GROUP:
            self._warn(path, "its groups are nested too deep")
            return
        self.nodes[path] = Group(path, self._attributes(path, item))
        for child, inner in self._children(path, item).items():
            self._add(path, child, inner, depth + 1)

    def _add_leaf(self, path: str, item: Json) -> None:
        names = LinkedFiles(self.target, self.moment.allowed_roots)
        kind = item.get("type", "dataset") if isinstance(item, Mapping) else "raw"
        if kind == "soft_link":
            self.nodes[path] = soft_link(path, item)
        elif kind == "external_link":
            self.nodes[path] = external_link(path, item, names)
        elif kind == "virtual_dataset":
            self.nodes[path] = virtual_dataset(path, item, self._attributes(path, item), names)
        elif kind == "external_binary_dataset":
            self.nodes[path] = external_binary(path, item, self._attributes(path, item), names)
        elif kind == "dataset":
            if "value" not in item:
                raise LayoutError("it has no value")
            self._add_dataset(path, item["value"], self._attributes(path, item))
        elif kind == "raw" or kind in VALUE_TYPES:
            self._add_dataset(path, item, {})
        else:
            raise LayoutError(f"its type {shown(kind)} is unknown")

    def _add_dataset(self, path: str, value: Json, attributes: Attributes) -> None:
        channel = stream_name(value)
        if channel is not None:
            self._add_stream(path, channel, attributes)
            return
        self.nodes[path] = Value(path, decode_value(value), attributes)

    def _add_stream(self, path: str, name: str, attributes: Attributes) -> None:
        channel = self.description.channels.get(name)
        if channel is None:
            raise LayoutError(f"the scan has no channel {shown(name)}")
        if channel.problem:
            raise LayoutError(f"channel {name} is not saved: {channel.problem}")
        if channel.kind is ChannelKind.IMAGE_REFERENCE:
            self._add_frames(path, channel, attributes)
            return
        if channel.kind is ChannelKind.SUBSCANS:
            raise LayoutError(f"channel {name} is not saved: sub-scans have no points")
        dataset = _stream_dataset(path, channel, attributes, self.description.n_points)
        self.streams.setdefault(name, []).append(dataset)

    def _add_frames(self, path: str, channel: ChannelSpec, attributes: Attributes) -> None:
        """Show a detector's frames once, in the scan's own file; elsewhere as links to there."""
        present = self.references.get(channel.name)
        if present is not None:
            self.nodes[path] = SoftLink(path, present.path)
            return
        if self.own is not None:
            shown_there = self.own.references.get(channel.name)
            if shown_there is None:
                raise LayoutError(f"the scan's own file does not show channel {channel.name}")
            file = LinkedFiles(self.target).for_link(self.own.target)
            self.nodes[path] = ExternalLink(path, file, shown_there.path)
            return
        files = frame_files(channel)
        if files is None:
            raise LayoutError(f"the detector of channel {channel.name} saves no images")
        self.references[channel.name] = ReferenceDataset(
            path=path,
            channel=channel.name,
            dtype=files.dtype,
            shape=files.shape,
            source=files.dataset,
            missing=f"{path}_missing",
            attributes=attributes,
            reason=_REASON,
        )

    def _add_end_reason(self, entry: str) -> None:
        """Say why it ended if the map does not, or does not know."""
        path = f"{entry}/end_reason"
        reason = self.moment.end_reason
        if not reason and path not in self.nodes and self.moment.end_time:
            reason = self.description.end_reason
        if reason:
            self._put(Value(path, text(reason)))

    def _hold_back_end(self, entry: str) -> None:
        """Keep the end apart: readers take an entry that has one for finished."""
        path = f"{entry}/end_time"
        node = self.nodes.get(path)
        if node is not None and not isinstance(node, Group):
            self.ends[entry] = self.nodes.pop(path)
        self._claim(path, "it is no time")

    def _add_writer(self, entry: str) -> None:
        """Say in the entry who saved it, and how well that went."""
        path = f"{entry}/writer"
        present = self.nodes.get(path)
        if not isinstance(present, Group):
            self._claim(path, "the name belongs to what the saver says itself")
        attributes = present.attributes if isinstance(present, Group) else {}
        self.nodes[path] = Group(path, {"NX_class": "NXnote", **attributes})
        self._claim(f"{path}/data", "the name belongs to the report of the saver")
        self._put(Value(f"{path}/status", self.moment.writer_status))
        self._put(Value(f"{path}/date", self.moment.date))

    def _put(self, node: Value) -> None:
        """Make a dataset of ours in the place of what the map has there."""
        if not isinstance(self.nodes.get(node.path), Value):
            self._claim(node.path, "the name belongs to what the saver says itself")
        self.nodes[node.path] = node

    def _claim(self, path: str, fact: str) -> None:
        """Leave out what the map has at a path and below it."""
        for name, reference in list(self.references.items()):
            if _is_at(reference.path, path):
                self._warn(reference.path, fact)
                del self.references[name]
        for name, datasets in list(self.streams.items()):
            for dataset in [item for item in datasets if _is_at(item.path, path)]:
                self._warn(dataset.path, fact)
                datasets.remove(dataset)
            if not datasets:
                del self.streams[name]
        for taken in [taken for taken in self.nodes if _is_at(taken, path)]:
            self._warn(taken, fact)
            del self.nodes[taken]

    def _add_warnings(self, entries: list[str]) -> None:
        sentences = dict.fromkeys(
            (*self.moment.warnings, *self.description.warnings, *self.warnings)
        )
        for entry in entries if sentences else ():
            self._put(Value(f"/{entry}/writer/description", text("\n".join(sentences))))

    def _make_room(self) -> None:
        """Points that vary in length, and frames, have datasets of ours beside them."""
        varying = [
            dataset.path
            for datasets in self.streams.values()
            for dataset in datasets
            if None in dataset.shape
        ]
        for path in varying:
            self._claim(f"{path}_lengths", "the name belongs to the lengths of a channel's points")
        for reference in list(self.references.values()):
            self._claim(reference.missing, "the name belongs to the frames that are missing")

    def _end(self, entry: str) -> Node:
        path = f"/{entry}"
        return self.ends.get(path, Value(f"{path}/end_time", text(self.moment.end_time)))


def _is_at(path: str, parent: str) -> bool:
    return f"{path}/".startswith(f"{parent}/")


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and text(name) == name


def _is_entry(item: Json) -> bool:
    if not is_group(item):
        return False
    attributes = item.get("attributes")
    return isinstance(attributes, Mapping) and attributes.get("NX_class") == "NXentry"


def _stream_dataset(
    path: str, channel: ChannelSpec, attributes: Attributes, n_points: int | None
) -> StreamDataset:
    is_text = channel.kind is ChannelKind.JSON
    shape = () if is_text or channel.shape is None else channel.shape
    dtype = None if is_text else channel.dtype
    return StreamDataset(
        path=path,
        channel=channel.name,
        kind=PointKind.TEXT if is_text else PointKind.NUMERIC,
        dtype=dtype,
        shape=shape,
        storage=choose_storage(dtype, shape, n_points),
        attributes=attributes,
        at_once=True,
        reason=_REASON,
    )
