"""The layout ``nexus``: what today's readers of BLISS files expect.

/                     NXroot        default
  N.M                 NXentry       title, start_time, end_time, end_reason, default
    instrument        NXinstrument  one NXpositioner or NXdetector per device, positioners
    measurement       NXcollection  one link per channel
    scan_parameters   NXparameters  count_time
    <category>                      metadata
    scan_info         NXparameters  what the user added to scan_info without a category
    notes             NXcollection  comments
    scans             NXcollection  links to the sub-scans of a sequence
    plot, plotselect  NXdata
    writer            NXnote        status, date, what went wrong, and at the end the report
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tango_saver.layout.icat import sample_of
from tango_saver.layout.images import plan_images
from tango_saver.layout.instrument import (
    add_devices,
    place_channels,
    stream_datasets,
)
from tango_saver.layout.masters import links_from_elsewhere
from tango_saver.layout.metadata import add_mapping, text
from tango_saver.layout.moment import Moment
from tango_saver.layout.naming import link_name
from tango_saver.layout.options import LayoutOptions, chunk_options
from tango_saver.layout.plots import PLOT_NAMES, plan_plot
from tango_saver.layout.positioners import add_positioners
from tango_saver.layout.root import root_attributes
from tango_saver.layout.sequences import NUMBERS, add_members
from tango_saver.layout.tree import EntryTree
from tango_saver.model.plan import (
    FilePlan,
    Node,
    ReferenceDataset,
    StreamDataset,
    Value,
)
from tango_saver.model.scan import ChannelKind, ChannelSpec, Json, ScanDescription, Subscan

PROTOCOL_KEYS = frozenset({
    "acquisition_chain", "channels", "comments", "count_time", "data_dim", "data_policy",
    "data_writer", "dataset_metadata_snapshot", "devices", "display_extra", "end_reason",
    "end_time", "filename", "group", "h5maps", "images_path", "is_scan_sequence", "name",
    "nexuswriter", "npoints", "npoints1", "npoints2", "plots", "positioners", "publisher",
    "publisher_version", "save", "scan_meta_categories", "scan_nb", "session_name", "start",
    "start_time", "stop", "title", "type", "user_name", "writer_options",
})  # fmt: skip
"""Keys of scan_info that BLISS itself makes; all others are the user's."""

NO_CATEGORIES = frozenset({"positioners", "nexuswriter"})
"""Named as metadata categories, but laid out by rules of their own."""

_DEFAULTS = LayoutOptions()


def plan_nexus(
    description: ScanDescription, moment: Moment, options: LayoutOptions = _DEFAULTS
) -> FilePlan:
    """Lay out a scan.

    Args:
        description: of the scan as it is now.
        moment: what else is known.
        options: choices of those who run the saver.

    Returns:
        the whole plan; the one of a later moment has all the paths of an earlier one.
    """
    subscans = _subscans(description)
    entries = tuple(f"{description.number}.{index}" for index in range(1, len(subscans) + 1))
    planned = [
        _plan_entry(entry, description, subscan, moment, options)
        for entry, subscan in zip(entries, subscans, strict=True)
    ]
    last = (
        *(node for entry in planned for node in entry.last),
        *(Value(f"/{entry}/end_time", text(moment.end_time)) for entry in entries),
    )
    attributes = root_attributes(description, moment)
    return FilePlan(
        target=description.target,
        entries=entries,
        root_attributes=attributes,
        nodes=tuple(node for entry in planned for node in entry.nodes),
        streams={name: datasets for entry in planned for name, datasets in entry.streams.items()},
        references={name: spec for entry in planned for name, spec in entry.references.items()},
        last=last if moment.end_time else (),
        final_root_attributes={"default": entries[-1]} if moment.end_time else {},
        warnings=tuple(dict.fromkeys(sentence for entry in planned for sentence in entry.warnings)),
        links_from_elsewhere=links_from_elsewhere(description, entries, attributes),
    )


@dataclass(frozen=True, slots=True)
class _EntryPlan:
    nodes: tuple[Node, ...]
    last: tuple[Node, ...]
    streams: Mapping[str, tuple[StreamDataset, ...]]
    references: Mapping[str, ReferenceDataset]
    warnings: tuple[str, ...]


def _subscans(description: ScanDescription) -> tuple[Subscan, ...]:
    """The sub-scans; channels that belong to none are given to the first one."""
    subscans = description.subscans or (Subscan(description.name, (), ()),)
    known = {name for subscan in subscans for name in subscan.channels}
    others = tuple(name for name in description.channels if name not in known)
    first = subscans[0]
    extended = Subscan(first.top_master, first.devices, (*first.channels, *others))
    return (extended, *subscans[1:])


def _plan_entry(
    entry: str,
    description: ScanDescription,
    subscan: Subscan,
    moment: Moment,
    options: LayoutOptions,
) -> _EntryPlan:
    tree = EntryTree(entry)
    root = tree.root
    tree.group(root, "NXentry")
    tree.group(f"{root}/instrument", "NXinstrument")
    tree.group(f"{root}/measurement", "NXcollection")
    for name in ("end_time", *PLOT_NAMES):
        tree.reserve(f"{root}/{name}")
    placed = place_channels(tree, description, subscan, options)
    _add_head(tree, description, moment)
    add_positioners(
        tree, description.positioners, [item.path for item in placed if item.is_positioner]
    )
    add_devices(tree, description, placed)
    _add_metadata(tree, description)
    plot = plan_plot(tree, description, placed, moment.n_points)
    streams = stream_datasets(tree, description, placed, plot.companions)
    images = plan_images(tree, description, placed, options)
    sequences = _sequences(description, subscan)
    if sequences:
        add_members(
            tree, description.target, moment.members, numbers=NUMBERS not in description.channels
        )
    warnings = (
        *chunk_options(description.writer_options)[1],
        *_left_out(description, (*(item.channel for item in placed), *sequences)),
        *(member.sentence for member in moment.members if sequences and member.problem),
        *images.left_out,
        *tree.warnings,
    )
    _add_writer(tree, (*moment.warnings, *description.warnings, *warnings))
    if moment.n_points is not None and plot.name:
        tree.attribute(root, "default", plot.name)
    nodes = tree.nodes() + (plot.nodes if moment.n_points is not None else ())
    return _EntryPlan(nodes, plot.last, streams, images.references, warnings)


def _add_head(tree: EntryTree, description: ScanDescription, moment: Moment) -> None:
    root = tree.root
    tree.value(f"{root}/title", text(description.title))
    tree.value(f"{root}/start_time", text(description.start_time))
    end_reason = moment.end_reason or description.end_reason
    if end_reason:
        tree.value(f"{root}/end_reason", text(end_reason))
    else:
        tree.reserve(f"{root}/end_reason")
    count_time = description.info.get("count_time")
    if isinstance(count_time, int | float) and not isinstance(count_time, bool):
        tree.group(f"{root}/scan_parameters", "NXparameters")
        tree.value(f"{root}/scan_parameters/count_time", float(count_time), {"units": "s"})
    tree.group(f"{root}/writer", "NXnote")
    tree.value(f"{root}/writer/status", moment.writer_status)
    tree.value(f"{root}/writer/date", moment.date)


def _add_metadata(tree: EntryTree, description: ScanDescription) -> None:
    """Add the metadata categories, and what belongs to none."""
    root, info = tree.root, description.info
    nexuswriter = _mapping(info.get("nexuswriter"))
    add_mapping(
        tree, f"{root}/instrument", _mapping(nexuswriter.get("instrument_info")), "NXinstrument"
    )
    categories = _categories(info)
    for category in categories:
        add_mapping(tree, f"{root}/{link_name(category)}", info[category])
    others = {
        key: value
        for key, value in info.items()
        if key not in PROTOCOL_KEYS and key not in categories
    }
    add_mapping(tree, f"{root}/scan_info", others, "NXparameters", "NXparameters")
    sample = sample_of(_mapping(info.get("dataset_metadata_snapshot")))
    add_mapping(tree, f"{root}/sample", sample, "NXsample")
    _add_notes(tree, info.get("comments"))


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _categories(info: Mapping[str, Json]) -> tuple[str, ...]:
    """The metadata categories that hold something; ``instrument`` is always one."""
    named = info.get("scan_meta_categories")
    names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    return tuple(
        name
        for name in dict.fromkeys((*names, "instrument"))
        if name not in NO_CATEGORIES and isinstance(info.get(name), Mapping)
    )


def _add_notes(tree: EntryTree, comments: Json) -> None:
    """Comments that the user gave while the scan ran."""
    if not isinstance(comments, list):
        return
    notes = [comment for comment in comments if isinstance(comment, Mapping)]
    for number, comment in enumerate(notes, 1):
        note = {
            "@NX_class": "NXnote",
            "data": str(comment.get("message", "")),
            "type": "text/plain",
            "date": str(comment.get("date", "")),
        }
        add_mapping(tree, f"{tree.root}/notes", {f"note_{number:02d}": note})


def _sequences(description: ScanDescription, subscan: Subscan) -> tuple[ChannelSpec, ...]:
    """The channels that announce the sub-scans of a sequence."""
    channels = (description.channels.get(name) for name in subscan.channels)
    return tuple(
        channel
        for channel in channels
        if channel is not None and channel.kind is ChannelKind.SUBSCANS
    )


def _left_out(description: ScanDescription, channels: Iterable[ChannelSpec]) -> list[str]:
    """What of the channels is not saved, one sentence each."""
    sentences = [
        f"channel {channel.name} is not saved: {channel.problem}"
        for channel in channels
        if channel.problem
    ]
    if description.channels and description.missing_channels:
        missing = ", ".join(description.missing_channels)
        sentences.append(f"channels that BLISS announced but never opened: {missing}")
    return sentences


def _add_writer(tree: EntryTree, warnings: tuple[str, ...]) -> None:
    """Put what went wrong beside the data."""
    if warnings:
        report = "\n".join(dict.fromkeys(warnings))
        tree.value(f"{tree.root}/writer/description", text(report))
