"""Makes a device known to the Tango database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tango

from tango_saver.errors import ConfigurationError

SERVER_NAME = "TangoSaver"
"""Name of the server and of its executable: Starter needs them equal."""

DESCRIPTIONS = {
    "TangoSaver": "Saves the scans of a BLISS session from Redis into NeXus/HDF5 files, live.",
    "NexusWriter": 'What a BLISS session calls with SCAN_SAVING.writer "nexus".',
    "BlissWriter": 'What a BLISS session calls with SCAN_SAVING.writer "mapping".',
}
"""The device classes of the server, and what they are for."""


def register(
    database: tango.Database,
    *,
    server_instance: str,
    device: str,
    properties: Mapping[str, Sequence[str]],
    alias: str | None = None,
    class_name: str = "TangoSaver",
) -> list[str]:
    """Register a device of the saver; only what differs is written, so it can be repeated.

    The database must keep what clients register. That of Beacon does not, there the device
    belongs into the YAML files.

    Args:
        database: the Tango database.
        server_instance: ``TangoSaver/<instance>``.
        device: full name, ``domain/family/member``.
        properties: device properties to set; others that the device has are left alone.
        alias: short name of the device, None to leave it alone.
        class_name: one of ``DESCRIPTIONS``.

    Returns:
        what was changed, a few words each; empty if everything was as wanted.

    Raises:
        ConfigurationError: a name cannot be used, or belongs to something else already.
        tango.DevFailed: the database refused.
    """
    server, slash, instance = server_instance.partition("/")
    if server != SERVER_NAME or not slash or not instance:
        raise ConfigurationError(
            f"{server_instance!r} is no instance of the server {SERVER_NAME}",
            advice=f"Name it {SERVER_NAME}/<instance>",
        )
    changes = _add_device(database, server_instance, device, class_name)
    changes += _put_changed(
        database.get_device_property, database.put_device_property, device, properties
    )
    class_properties = {
        "ProjectTitle": ["tango_saver"],
        "Description": [DESCRIPTIONS[class_name]],
        "InheritedFrom": ["TANGO_BASE_CLASS"],
    }
    _put_changed(
        database.get_class_property, database.put_class_property, class_name, class_properties
    )
    if alias is not None:
        changes += _put_alias(database, device, alias)
    return changes


def _add_device(
    database: tango.Database, server_instance: str, device: str, class_name: str
) -> list[str]:
    if device.count("/") != 2:  # noqa: PLR2004 - domain, family, member
        raise ConfigurationError(
            f"{device!r} is no device name", advice="Name it domain/family/member"
        )
    registered = _registered(database, device)
    if registered is None:
        entry = tango.DbDevInfo()
        entry.name = device
        entry._class = class_name  # noqa: SLF001 - PyTango's name, class is a Python keyword
        entry.server = server_instance
        database.add_device(entry)
        return [f"registered in {server_instance}"]
    if registered.class_name != class_name or (
        registered.ds_full_name.lower() != server_instance.lower()
    ):
        raise ConfigurationError(
            f"the device {device} is registered already: class {registered.class_name}"
            f" of {registered.ds_full_name}",
            advice="Choose another name, or delete that device first",
        )
    return []


def _registered(database: tango.Database, device: str) -> tango.DbDevFullInfo | None:
    try:
        return database.get_device_info(device)
    except tango.DevFailed as error:
        if error.args[0].reason == "DB_DeviceNotDefined":
            return None
        raise


def _put_changed(
    get: Callable[[str, list[str]], Mapping[str, Sequence[str]]],
    put: Callable[[str, dict[str, list[str]]], None],
    owner: str,
    wanted: Mapping[str, Sequence[str]],
) -> list[str]:
    there = get(owner, list(wanted))
    changed = {
        name: list(values) for name, values in wanted.items() if list(there[name]) != list(values)
    }
    if changed:
        put(owner, changed)
    return [f"{name} = {', '.join(values)}" for name, values in changed.items()]


def _put_alias(database: tango.Database, device: str, alias: str) -> list[str]:
    try:
        owner = database.get_device_from_alias(alias)
    except tango.DevFailed:
        database.put_device_alias(device, alias)
        return [f"alias {alias}"]
    if owner.lower() != device.lower():
        raise ConfigurationError(
            f"the alias {alias} belongs to {owner}", advice="Choose another alias"
        )
    return []
