"""The peripheral parts of ``scan_info``: devices, acquisition chain, positioners.

Nothing here raises: what is malformed is noted and left aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tango_saver.model.scan import ChannelSpec, DeviceSpec, Json, Positioners, Subscan
from tango_saver.source.notes import Notes

_RANKS = ("scalars", "spectra", "images")


def decode_devices(info: Mapping[str, Any], notes: Notes) -> dict[str, DeviceSpec]:
    """``info["devices"]``, in its order."""
    found: dict[str, Any] = notes.part(info, "devices", dict, {}, path="info.devices")
    devices = {}
    for key in found:
        path = f"info.devices[{key!r}]"
        device: dict[str, Any] | None = notes.part(found, key, dict, {}, path=path)
        if not device:
            continue
        devices[key] = DeviceSpec(
            key=key,
            # A key is "<python id>:<name>" with BLISS, the bare name with other publishers.
            name=notes.part(device, "name", str, key.rpartition(":")[2], path=f"{path}.name"),
            channels=notes.texts(device, "channels", path=f"{path}.channels"),
            triggered_devices=notes.texts(
                device, "triggered_devices", path=f"{path}.triggered_devices"
            ),
            metadata=notes.part(device, "metadata", dict, {}, path=f"{path}.metadata"),
        )
    return devices


def _chain_names(part: Mapping[str, Any], notes: Notes, path: str) -> Iterator[str]:
    """Channels of one part of the chain: the master's first, scalars, spectra, images."""
    master: dict[str, Any] = notes.part(part, "master", dict, {}, path=f"{path}.master")
    for owner, where in ((master, f"{path}.master"), (part, path)):
        for rank in _RANKS:
            yield from notes.texts(owner, rank, path=f"{where}.{rank}")


def _chain_devices(
    part: Mapping[str, Any], devices: Mapping[str, DeviceSpec], notes: Notes, path: str
) -> tuple[str, ...]:
    root = notes.part(part, "top_master", str, "", path=f"{path}.top_master")
    named = notes.texts(part, "devices", path=f"{path}.devices")
    return tuple(name for name in dict.fromkeys((root, *named)) if name in devices)


def decode_subscans(
    info: Mapping[str, Any],
    channels: Mapping[str, ChannelSpec],
    devices: Mapping[str, DeviceSpec],
    notes: Notes,
) -> tuple[Subscan, ...]:
    """``info["acquisition_chain"]``, sorted by the names of the top masters.

    Every channel is in exactly one subscan; every name in a subscan has a stream, and every
    device of a subscan is among ``devices``. Malformed parts of the chain keep their place, so
    that the entries of the file keep their numbers.
    """
    path = "info.acquisition_chain"
    chain: dict[str, Any] = notes.part(info, "acquisition_chain", dict, {}, path=path)
    if not chain:
        notes.add(f"{path} is missing: all channels go to one entry")
        return (Subscan(top_master="", devices=tuple(devices), channels=tuple(channels)),)

    members: list[list[str]] = []
    subscan_devices: list[tuple[str, ...]] = []
    placed: set[str] = set()
    for top_master in sorted(chain):
        where = f"{path}[{top_master!r}]"
        part: dict[str, Any] = notes.part(chain, top_master, dict, {}, path=where)
        names = dict.fromkeys(_chain_names(part, notes, where))
        members.append([name for name in names if name in channels and name not in placed])
        placed.update(members[-1])
        subscan_devices.append(_chain_devices(part, devices, notes, where))

    home = {
        device: index
        for index in reversed(range(len(members)))
        for device in subscan_devices[index]
    }
    for name, channel in channels.items():
        if name in placed:
            continue
        index = home.get(channel.device)
        if index is None:
            notes.add(f"the channel {name!r} is in no part of {path}: it goes to the first entry")
        members[index or 0].append(name)
    return tuple(
        Subscan(top_master=top_master, devices=subscan_devices[i], channels=tuple(members[i]))
        for i, top_master in enumerate(sorted(chain))
    )


def missing_channels(
    info: Mapping[str, Any], channels: Mapping[str, ChannelSpec]
) -> tuple[str, ...]:
    """Channels that the chain or ``info["channels"]`` names but that have no stream."""
    unheard = Notes()
    chain: dict[str, Any] = unheard.part(info, "acquisition_chain", dict, {}, path="")
    names: dict[str, None] = {}
    for top_master in sorted(chain):
        part: dict[str, Any] = unheard.part(chain, top_master, dict, {}, path="")
        names.update(dict.fromkeys(_chain_names(part, unheard, "")))
    names.update(dict.fromkeys(unheard.part(info, "channels", dict, {}, path="")))
    return tuple(name for name in names if name not in channels)


def _positions(parent: Mapping[str, Any], name: str, notes: Notes) -> dict[str, Json]:
    path = f"info.positioners.{name}"
    found: dict[str, Any] = notes.part(parent, name, dict, {}, path=path)
    usable = {
        motor: position
        for motor, position in found.items()
        if position is None or isinstance(position, (int, float, str))
    }
    if len(usable) < len(found):
        left = sorted(found.keys() - usable.keys())
        notes.add(f"{path} was used without {', '.join(left[:5])}: neither number nor text")
    return usable


def decode_positioners(info: Mapping[str, Any], notes: Notes) -> Positioners:
    """``info["positioners"]``: the snapshots of all motors."""
    parent: dict[str, Any] = notes.part(info, "positioners", dict, {}, path="info.positioners")
    units = _positions(parent, "positioners_units", notes)
    return Positioners(
        start=_positions(parent, "positioners_start", notes),
        end=_positions(parent, "positioners_end", notes),
        dial_start=_positions(parent, "positioners_dial_start", notes),
        dial_end=_positions(parent, "positioners_dial_end", notes),
        units={motor: unit for motor, unit in units.items() if isinstance(unit, str) and unit},
    )
