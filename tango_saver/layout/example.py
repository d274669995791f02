"""The layout ``example``: what the script of the BLISS documentation on external saving writes.

/<number>_<name>        NXentry       title, start_time, end_time, end_reason
  measurement           NXcollection  one dataset per channel, by its full name
  instrument            NXinstrument  metadata of the category instrument
    positioners         NXcollection  where the motors were at the start
    positioners_dial    NXcollection
    chain_meta          NXcollection  metadata of the devices, as they trigger each other
  scan_meta             NXcollection  the other categories of metadata
  scans                 NXcollection  links to the sub-scans of a sequence
  writer                NXnote        status, date, and what went wrong

A scan with several top masters has an entry for each, ``4_name``, ``4.1_name``, ``4.2_name``;
instrument and metadata of the further ones are links to those of the first. Frames that a
detector saves are a table of texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

import numpy as np

from tango_saver.errors import LayoutError
from tango_saver.layout.metadata import add_mapping, static_value, text
from tango_saver.layout.moment import Moment
from tango_saver.layout.naming import link_name
from tango_saver.layout.options import ChunkOptions, LayoutOptions, chunk_options
from tango_saver.layout.references import frame_files
from tango_saver.layout.root import root_attributes
from tango_saver.layout.sequences import NUMBERS, add_links
from tango_saver.layout.storage import choose_storage
from tango_saver.layout.tree import EntryTree
from tango_saver.model.plan import (
    FilePlan,
    PointKind,
    ReferenceDataset,
    SoftLink,
    StreamDataset,
    Value,
)
from tango_saver.model.scan import ChannelKind, ChannelSpec, Json, ScanDescription, Subscan

_NO_METADATA = frozenset({"positioners", "instrument"})
"""Categories that are laid out by rules of their own."""
_DEEPEST_CHAIN = 16
_DEEPEST_METADATA = 32
_DEFAULTS = LayoutOptions()


def entry_names(description: ScanDescription) -> tuple[str, ...]:
    """Names of the entries of a scan, one for each top master."""
    name = link_name(description.name)
    others = range(1, len(description.subscans))
    return (
        f"{description.number}_{name}",
        *(f"{description.number}.{index}_{name}" for index in others),
    )


def plan_example(
    description: ScanDescription, moment: Moment, options: LayoutOptions = _DEFAULTS
) -> FilePlan:
    """Lay out a scan.

    Args:
        description: of the scan as it is now.
        moment: what else is known.
        options: of no use here.

    Returns:
        the whole plan; the one of a later moment has all the paths of an earlier one.
    """
    del options
    entries = entry_names(description)
    chunks, warnings = chunk_options(description.writer_options)
    found = _Plan(description, chunks)
    subscans = description.subscans or (Subscan("", (), tuple(description.channels)),)
    trees = [EntryTree(entry) for entry in entries]
    for tree, subscan in zip(trees, subscans, strict=True):
        _add_head(tree, description, moment)
        found.add_channels(tree, subscan)
    first = trees[0]
    _add_instrument(first, description)
    _add_metadata(first, description)
    _add_members(first, description, moment)
    for tree in trees[1:]:
        for name in ("instrument", "scan_meta"):
            tree.link(SoftLink(f"{tree.root}/{name}", f"{first.root}/{name}"))
    problems = (
        *warnings,
        *found.left_out,
        *(member.sentence for member in moment.members if member.problem),
        *(sentence for tree in trees for sentence in tree.warnings),
    )
    for tree in trees:
        _add_writer(tree, moment, (*moment.warnings, *description.warnings, *problems))
    last = tuple(Value(f"/{entry}/end_time", text(moment.end_time)) for entry in entries)
    return FilePlan(
        target=description.target,
        entries=entries,
        root_attributes=root_attributes(description, moment),
        nodes=tuple(node for tree in trees for node in tree.nodes()),
        streams={name: (dataset,) for name, dataset in found.streams.items()},
        references=found.references,
        last=last if moment.end_time else (),
        warnings=tuple(dict.fromkeys(problems)),
    )


class _Plan:
    """Collects the datasets of the channels."""

    def __init__(self, description: ScanDescription, chunks: ChunkOptions) -> None:
        self._description = description
        self._chunks = chunks
        self.streams: dict[str, StreamDataset] = {}
        self.references: dict[str, ReferenceDataset] = {}
        self.left_out: list[str] = []

    def add_channels(self, tree: EntryTree, subscan: Subscan) -> None:
        """Add the datasets of one entry."""
        tree.group(f"{tree.root}/measurement", "NXcollection")
        for name in subscan.channels:
            channel = self._description.channels.get(name)
            if channel is None or channel.kind is ChannelKind.SUBSCANS:
                continue
            if channel.problem:
                self.left_out.append(f"channel {name} is not saved: {channel.problem}")
            elif channel.kind is ChannelKind.IMAGE_REFERENCE:
                self._add_table(tree, channel)
            else:
                self._add_stream(tree, channel)
        if self._description.channels and self._description.missing_channels:
            missing = ", ".join(self._description.missing_channels)
            self.left_out.append(f"channels that BLISS announced but never opened: {missing}")

    def _add_stream(self, tree: EntryTree, channel: ChannelSpec) -> None:
        path = _place(tree, channel.name)
        is_text = channel.kind is ChannelKind.JSON
        shape = () if is_text or channel.shape is None else channel.shape
        if None in shape:
            tree.reserve(f"{path}_lengths")
        dtype = None if is_text else channel.dtype
        self.streams[channel.name] = StreamDataset(
            path=path,
            channel=channel.name,
            kind=PointKind.TEXT if is_text else PointKind.NUMERIC,
            dtype=dtype,
            shape=shape,
            storage=choose_storage(dtype, shape, self._description.n_points, self._chunks),
            attributes={"units": text(channel.unit)} if channel.unit else {},
            reason="every channel by its full name",
        )

    def _add_table(self, tree: EntryTree, channel: ChannelSpec) -> None:
        try:
            files = frame_files(channel)
        except LayoutError as error:
            self.left_out.append(f"channel {channel.name} is not saved: {error.fact}")
            return
        if files is None:
            return
        path = _place(tree, channel.name)
        tree.reserve(f"{path}_missing")
        self.references[channel.name] = ReferenceDataset(
            path=path,
            channel=channel.name,
            dtype=None,
            shape=(),
            source="",
            missing=f"{path}_missing",
            columns=(files.file_format.upper(), files.dataset),
            reason=f"table of {files.file_format} files",
        )


def _place(tree: EntryTree, channel: str) -> str:
    path = tree.free_path(f"{tree.root}/measurement/{link_name(channel)}")
    tree.reserve(path)
    return path


def _add_head(tree: EntryTree, description: ScanDescription, moment: Moment) -> None:
    root = tree.root
    tree.group(root, "NXentry")
    tree.reserve(f"{root}/end_time")
    tree.value(f"{root}/title", text(description.title))
    tree.value(f"{root}/start_time", text(description.start_time))
    end_reason = moment.end_reason or description.end_reason
    if end_reason:
        tree.value(f"{root}/end_reason", text(end_reason))
    else:
        tree.reserve(f"{root}/end_reason")


def _add_instrument(tree: EntryTree, description: ScanDescription) -> None:
    path = tree.group(f"{tree.root}/instrument", "NXinstrument")
    positions = {
        "positioners": description.positioners.start,
        "positioners_dial": description.positioners.dial_start,
    }
    for name, snapshot in positions.items():
        group = tree.group(f"{path}/{name}", "NXcollection")
        for motor, position in snapshot.items():
            unit = description.positioners.units.get(motor, "")
            attributes = {"units": text(unit)} if unit else {}
            tree.value(f"{group}/{link_name(motor)}", static_value(position), attributes)
    chain = tree.group(f"{path}/chain_meta", "NXcollection")
    for below, metadata in _chain(description):
        for parent in accumulate(below.split("/")[:-1], "{}/{}".format):
            tree.group(f"{chain}/{parent}", "NXcollection")
        add_mapping(tree, f"{chain}/{below}", metadata)
    add_mapping(tree, path, _mapping(description.info.get("instrument")), "NXinstrument")


def _chain(description: ScanDescription) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Path and metadata of every device that has some, below the device that triggers it."""
    devices = description.devices
    triggered = {key for device in devices.values() for key in device.triggered_devices}
    level = [(key, link_name(devices[key].name)) for key in devices if key not in triggered]
    seen: set[str] = set()
    for _ in range(_DEEPEST_CHAIN):
        following: list[tuple[str, str]] = []
        for key, path in level:
            if key in seen:
                continue
            seen.add(key)
            device = devices[key]
            if device.metadata:
                yield path, device.metadata
            following += [
                (below, f"{path}/{link_name(devices[below].name)}")
                for below in device.triggered_devices
                if below in devices
            ]
        level = following


def _add_metadata(tree: EntryTree, description: ScanDescription) -> None:
    path = tree.group(f"{tree.root}/scan_meta", "NXcollection")
    named = description.info.get("scan_meta_categories")
    for name in named if isinstance(named, list) else []:
        value = description.info.get(name) if isinstance(name, str) else None
        if name in _NO_METADATA or not isinstance(value, Mapping):
            continue
        group = f"{path}/{link_name(name)}"
        add_mapping(tree, group, value)
        _add_empty_groups(tree, group, value)


def _add_empty_groups(tree: EntryTree, path: str, mapping: Mapping[str, Json]) -> None:
    """Mappings without content have a group here, too."""
    level = [(path, mapping)]
    for _ in range(_DEEPEST_METADATA):
        for group, found in level:
            if not tree.is_taken(group):
                nx_class = found.get("@NX_class")
                tree.group(group, nx_class if isinstance(nx_class, str) else "NXcollection")
        level = [
            (f"{group}/{link_name(key)}", value)
            for group, found in level
            for key, value in found.items()
            if isinstance(value, Mapping) and "@" not in key
        ]


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _add_members(tree: EntryTree, description: ScanDescription, moment: Moment) -> None:
    if not moment.members:
        return
    numbers = f"{tree.root}/measurement/{NUMBERS}"
    if not tree.is_taken(numbers):
        tree.value(numbers, np.array([member.number for member in moment.members], np.int64))
    add_links(tree, description.target, moment.members)


def _add_writer(tree: EntryTree, moment: Moment, warnings: tuple[str, ...]) -> None:
    path = tree.group(f"{tree.root}/writer", "NXnote")
    tree.value(f"{path}/status", moment.writer_status)
    tree.value(f"{path}/date", moment.date)
    if warnings:
        tree.value(f"{path}/description", text("\n".join(dict.fromkeys(warnings))))
