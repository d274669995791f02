"""In place of ``blisswriter.mapping``, which BLISS 2.4 imports and no release has.

To be imported before the writers of BLISS. The map of the file that is made here has what a
session's map has at least: an entry for each top master, its title, and every channel that is
no image.
"""

from __future__ import annotations

import sys
import types
from copy import deepcopy
from typing import Any

import tango
from blissdata.h5map import Dataset, Group, SoftLink, Stream
from blisswriter.app import register_service
from blisswriter.nexus.devices import device_info
from blisswriter.nexus.mapping import get_primary_dataset_path
from blisswriter.writer import scan_url_info


def find_session_writer(
    session_name: str,
    beacon_host: str | None = None,
    db: tango.Database | None = None,
    writer_class: str = "NexusWriter",
) -> str | None:
    """The writer of a session, by the class of its device and its properties."""
    database = db or tango.Database()
    found = []
    for name in database.get_device_name("*", writer_class):
        properties = database.get_device_property(name, ["session", "beacon_host"])
        host = list(properties["beacon_host"])[:1]
        if list(properties["session"])[:1] == [session_name] and host in ([], [beacon_host]):
            found.append(name)
    if len(found) > 1:
        raise ValueError(f"Found more than one writer for session '{session_name}': {found}")
    return found[0] if found else None


def scan_info_to_h5map(info: dict[str, Any], **_options: Any) -> dict[str, Group]:
    """The map of the scan's file."""
    root = Group(attributes={"NX_class": "NXroot"})
    devices = deepcopy(info.get("nexuswriter", {}).get("devices", {}))
    for index, (_, channels) in enumerate(sorted(device_info(devices, info).items()), 1):
        name = f"{info['scan_nb']}.{index}"
        root.children[name] = _entry(name, info, channels)
    return {info["filename"]: root}


def _entry(name: str, info: dict[str, Any], channels: dict[str, Any]) -> Group:
    entry = Group(attributes={"NX_class": "NXentry"})
    for field in ("title", "start_time", "end_time", "end_reason"):
        if info.get(field):
            entry.children[field] = Dataset(value=info[field])
    instrument = entry.children["instrument"] = Group(attributes={"NX_class": "NXinstrument"})
    measurement = entry.children["measurement"] = Group(attributes={"NX_class": "NXcollection"})
    for channel in channels:
        _, group, dataset = get_primary_dataset_path(channel, channels).split("/")
        unit = info["channels"].get(channel, {}).get("unit")
        detector = instrument.children.setdefault(
            group, Group(attributes={"NX_class": "NXdetector"})
        )
        detector.children[dataset] = Dataset(
            value=Stream(stream=channel), attributes={"units": unit} if unit else {}
        )
        measurement.children[f"{group}_{dataset}"] = SoftLink(
            target_path=f"/{name}/instrument/{group}/{dataset}"
        )
    return entry


def _register_metadata_generators(user_scan_meta: Any) -> None:
    user_scan_meta.add_categories(["NEXUSWRITER"])
    user_scan_meta.nexuswriter.set("device_info", lambda _scan: {"devices": {}})


def _module(name: str, **content: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
    return module


register_service.find_session_writer = find_session_writer
_mapping = _module("blisswriter.mapping", __path__=[])
_mapping.devices = _module(
    "blisswriter.mapping.devices",
    all_devices_info=device_info,
    get_primary_dataset_path=get_primary_dataset_path,
)
_mapping.h5map = _module("blisswriter.mapping.h5map", scan_info_to_h5map=scan_info_to_h5map)
_mapping.publish = _module(
    "blisswriter.mapping.publish", register_metadata_generators=_register_metadata_generators
)
_mapping.scan_url_info = sys.modules["blisswriter.mapping.scan_url_info"] = scan_url_info
