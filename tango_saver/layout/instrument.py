"""The channels of one entry: their places, their devices' groups, their datasets and links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tango_saver.layout.mesh import mesh_shape, on_the_grid
from tango_saver.layout.metadata import add_mapping, text
from tango_saver.layout.naming import Place, clean, link_name, place, short_names
from tango_saver.layout.options import ChunkOptions, LayoutOptions, chunk_options
from tango_saver.layout.positioners import COLLECTIONS
from tango_saver.layout.storage import choose_storage
from tango_saver.layout.tree import EntryTree
from tango_saver.model.plan import (
    Group,
    Node,
    PointKind,
    SoftLink,
    StaticValue,
    StreamDataset,
)
from tango_saver.model.scan import ChannelKind, ChannelSpec, Json, ScanDescription, Subscan

_NO_DEVICES = frozenset({"name", *COLLECTIONS})
"""Names below ``instrument`` that no device may have."""
_INTERPRETATION = {1: "spectrum", 2: "image", 3: "vertex"}


@dataclass(frozen=True, slots=True)
class PlacedChannel:
    """A channel with its place in the entry."""

    channel: ChannelSpec
    place: Place
    is_positioner: bool
    group_path: str
    path: str
    """Of its dataset."""
    link: str
    """Its name in ``measurement``, unique there."""
    has_data_link: bool = False
    """Whether its group gets a link ``data`` to it."""
    view: str = ""
    """Of its points on the grid of a mesh scan that keeps its shape, empty without one."""
    grid: tuple[int, ...] = ()
    """Slow axis first; with a view only."""

    @property
    def shown(self) -> str:
        """Where links lead: the points as the user wants to see them."""
        return self.view or self.path

    @property
    def nx_class(self) -> str:
        """Class of the group."""
        return "NXpositioner" if self.is_positioner else "NXdetector"

    @property
    def is_stream(self) -> bool:
        """Whether its points come from Redis and can be saved."""
        return (
            self.channel.kind in (ChannelKind.NUMERIC, ChannelKind.JSON)
            and not self.channel.problem
        )


def place_channels(
    tree: EntryTree,
    description: ScanDescription,
    subscan: Subscan,
    options: LayoutOptions,
) -> tuple[PlacedChannel, ...]:
    """Find a place for every channel of a sub-scan; no two share a dataset or a link."""
    names = [
        name
        for name in subscan.channels
        if name in description.channels
        and description.channels[name].kind is not ChannelKind.SUBSCANS
    ]
    shorts = short_names(names)
    positioners = _positioner_channels(description, subscan)
    grid = mesh_shape(description) if options.keepshape else ()
    shared = _shared_positioners(description, positioners) if options.multivalue_positioners else {}
    placed: list[PlacedChannel] = []
    for name in names:
        channel = description.channels[name]
        if name in shared:
            wanted = shared[name]
        elif name in positioners:
            wanted = Place(clean(shorts[name]), "value", principal=True)
        else:
            device = _device(description, name)
            wanted = place(
                name,
                shorts[name],
                str(device.get("device_type") or ""),
                str(device.get("data_type") or ""),
            )
        item = _placed(tree, channel, wanted, is_positioner=name in positioners)
        placed.append(_on_grid(tree, item, grid) if grid else item)
    return tuple(_with_data_link(tree, item) for item in placed)


def _with_data_link(tree: EntryTree, item: PlacedChannel) -> PlacedChannel:
    """Give the principal dataset of a detector its link ``data`` if that name is free.

    Only after all channels have their places: a channel may be called so itself.
    """
    data = f"{item.group_path}/data"
    if not item.place.principal or item.is_positioner or tree.is_taken(data):
        return item
    tree.reserve(data)
    return replace(item, has_data_link=True)


def _positioner_channels(description: ScanDescription, subscan: Subscan) -> tuple[str, ...]:
    """The scalars of the first device of the chain that triggers others."""
    for key in subscan.devices:
        device = description.devices.get(key)
        if device is not None and device.triggered_devices:
            return tuple(
                name
                for name in device.channels
                if name in description.channels and description.channels[name].shape == ()
            )
    return ()


def _shared_positioners(
    description: ScanDescription, positioners: tuple[str, ...]
) -> Mapping[str, Place]:
    """Places of several channels of one device: the first is its value, the others beside it.

    Those of a mesh scan are independent axes, and have a group each all the same.
    """
    if len(positioners) == 1 or mesh_shape(description):
        return {}
    places: dict[str, Place] = {}
    groups: set[str] = set()
    for name in positioners:
        device, _, own_name = name.rpartition(":")
        if device:
            is_first = device not in groups
            groups.add(device)
            dataset = "value" if is_first else clean(own_name)
            places[name] = Place(clean(device), dataset, principal=is_first)
    return places


def _on_grid(tree: EntryTree, item: PlacedChannel, grid: tuple[int, ...]) -> PlacedChannel:
    """Give the points a flat dataset, and its place to the view of them on the grid."""
    shape = item.channel.shape
    if item.channel.kind is not ChannelKind.NUMERIC or shape is None or None in shape:
        return item
    flat = tree.free_path(f"{item.path}_flat")
    tree.reserve(flat)
    return replace(item, path=flat, view=item.path, grid=grid)


def _device(description: ScanDescription, channel: str) -> Mapping[str, Json]:
    """What ``nexuswriter.devices`` says of a channel."""
    described: Json = description.info
    for key in ("nexuswriter", "devices", channel):
        described = described.get(key) if isinstance(described, Mapping) else None
    return described if isinstance(described, Mapping) else {}


def _placed(
    tree: EntryTree, channel: ChannelSpec, wanted: Place, *, is_positioner: bool
) -> PlacedChannel:
    """Give the channel its place, or the same with a suffix if another one has it."""
    group, nx_class = wanted.group, "NXpositioner" if is_positioner else "NXdetector"
    count = 1
    path = f"{tree.root}/instrument/{group}"
    while group in _NO_DEVICES or not tree.offers(path, f"{path}/{wanted.dataset}", nx_class):
        count += 1
        group = f"{wanted.group}_{count}"
        path = f"{tree.root}/instrument/{group}"
    if group != wanted.group:
        tree.warnings.append(
            f"channel {channel.name} is saved in {group}: the name {wanted.group} is taken"
        )
    dataset = f"{path}/{wanted.dataset}"
    tree.reserve_group(path, nx_class)
    tree.reserve(dataset)
    if channel.shape and None in channel.shape:
        tree.reserve(f"{dataset}_lengths")
    name = group if wanted.principal else f"{group}_{wanted.dataset}"
    link = tree.free_path(f"{tree.root}/measurement/{name}")
    tree.reserve(link)
    return PlacedChannel(
        channel, replace(wanted, group=group), is_positioner, path, dataset, link.rpartition("/")[2]
    )


def add_devices(
    tree: EntryTree, description: ScanDescription, placed: tuple[PlacedChannel, ...]
) -> None:
    """Add what is known of the devices before their first point: type, mode, metadata."""
    by_name = {item.channel.name: item for item in placed}
    for item in placed:
        device_info = _device(description, item.channel.name).get("device_info")
        if isinstance(device_info, Mapping) and device_info:
            add_mapping(tree, item.group_path, device_info, item.nx_class)
    for device in description.devices.values():
        owner = next((by_name[name] for name in device.channels if name in by_name), None)
        if owner is not None and device.metadata:
            add_mapping(tree, owner.group_path, device.metadata, owner.nx_class)


def stream_datasets(
    tree: EntryTree,
    description: ScanDescription,
    placed: tuple[PlacedChannel, ...],
    extra: Mapping[str, tuple[Node, ...]],
) -> dict[str, tuple[StreamDataset, ...]]:
    """The datasets of all channels whose points come from Redis.

    Args:
        tree: of the entry.
        description: of the scan.
        placed: the channels of the entry.
        extra: channel name -> companions that it gets besides the usual ones.
    """
    streams: dict[str, tuple[StreamDataset, ...]] = {}
    options, _ = chunk_options(description.writer_options)
    for item in placed:
        if item.is_stream:
            made = companions(tree, description, item) + extra.get(item.channel.name, ())
            streams[item.channel.name] = (_dataset(description, item, made, options),)
    return streams


def _dataset(
    description: ScanDescription,
    item: PlacedChannel,
    made_with_it: tuple[Node, ...],
    options: ChunkOptions,
) -> StreamDataset:
    channel = item.channel
    is_text = channel.kind is ChannelKind.JSON
    shape = () if is_text or channel.shape is None else channel.shape
    dtype = None if is_text else channel.dtype
    attributes = _units(item)
    if attributes and item.is_positioner:
        # silx shows no scatter plot over axes whose units it has to add to their names itself.
        attributes["long_name"] = f"{item.link} ({attributes['units']})"
    if len(shape) in _INTERPRETATION and not item.is_positioner:
        attributes["interpretation"] = _INTERPRETATION[len(shape)]
    return StreamDataset(
        path=item.path,
        channel=channel.name,
        kind=PointKind.TEXT if is_text else PointKind.NUMERIC,
        dtype=dtype,
        shape=shape,
        storage=choose_storage(dtype, shape, description.n_points, options),
        attributes=attributes,
        companions=made_with_it,
        reason=_placing_rule(description, item),
    )


def _units(item: PlacedChannel) -> dict[str, StaticValue]:
    unit = item.channel.unit or item.place.units
    return {"units": text(unit)} if unit else {}


def _view(item: PlacedChannel) -> Node:
    """The points on the grid; scalars are an image there, or a volume."""
    attributes = _units(item)
    n_dimensions = len(item.channel.shape or ()) or len(item.grid)
    if n_dimensions in _INTERPRETATION and not item.is_positioner:
        attributes["interpretation"] = _INTERPRETATION[n_dimensions]
    return on_the_grid(item.view, item.path, item.channel, item.grid, attributes)


def _placing_rule(description: ScanDescription, item: PlacedChannel) -> str:
    """What decided where the channel goes."""
    if item.is_positioner:
        return "positioner: a scalar of the first device that triggers others"
    device_type = _device(description, item.channel.name).get("device_type")
    return f"detector: {f'device type {device_type}' if device_type else 'no known device type'}"


def companions(
    tree: EntryTree, description: ScanDescription, item: PlacedChannel
) -> tuple[Node, ...]:
    """Group, ``data``, measurement and positioner links of a channel."""
    nodes: list[Node] = [Group(item.group_path, {"NX_class": item.nx_class})]
    if item.view:
        nodes.append(_view(item))
    if item.has_data_link:
        nodes.append(SoftLink(f"{item.group_path}/data", item.place.dataset))
    nodes.append(SoftLink(f"{tree.root}/measurement/{item.link}", item.shown))
    if item.is_positioner:
        motor = _motor(description, item)
        nodes.append(SoftLink(f"{tree.root}/instrument/positioners/{motor}", item.shown))
    return tuple(nodes)


def _motor(description: ScanDescription, item: PlacedChannel) -> str:
    """The motor's own name if the session has a motor of that name, else the group's."""
    own_name = item.channel.name.rpartition(":")[2]
    is_motor = own_name in description.positioners.start and clean(own_name) == item.place.group
    return link_name(own_name) if is_motor else item.link
