"""Makes a device known to the Tango database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tango

from tango_saver.errors import ConfigurationError

CLASS_NAME = "TangoSaver"
"""Name of the device class, of the server and of its executable: Starter needs them equal."""

_CLASS_PROPERTIES = {
    "ProjectTitle": ["tango_saver"],
    "Description": ["Saves the scans of a BLISS session from Redis into NeXus/HDF5 files, live."],
    "InheritedFrom": ["TANGO_BASE_CLASS"],
}


def register(
    database: tango.Database,
    *,
    server_instance: str,
    device: str,
    properties: Mapping[str, Sequence[str]],
    alias: str | None = None,
) -> None:
    """Register a device of the saver; only what differs is written, so it can be repeated.

    The database must keep what clients register. That of Beacon does not, there the device
    belongs into the YAML files.

    Args:
        database: the Tango database.
        server_instance: ``TangoSaver/<instance>``.
        device: full name, ``domain/family/member``.
        properties: device properties to set; others that the device has are left alone.
        alias: short name of the device, None to leave it alone.

    Raises:
        ConfigurationError: a name cannot be used, or belongs to something else already.
        tango.DevFailed: the database refused.
    """
    server, slash, instance = server_instance.partition("/")
    if server != CLASS_NAME or not slash or not instance:
        raise ConfigurationError(
            f"{server_instance!r} is no instance of the server {CLASS_NAME}",
            advice=f"Name it {CLASS_NAME}/<instance>",
        )
    _add_device(database, server_instance, device)
    _put_changed(database.get_device_property, database.put_device_property, device, properties)
    _put_changed(
        database.get_class_property, database.put_class_property, CLASS_NAME, _CLASS_PROPERTIES
    )
    if alias is not None:
        _put_alias(database, device, alias)


def _add_device(database: tango.Database, server_instance: str, device: str) -> None:
    if device.count("/") != 2:  # noqa: PLR2004 - domain, family, member
        raise ConfigurationError(
            f"{device!r} is no device name", advice="Name it domain/family/member"
        )
    registered = _registered(database, device)
    if registered is None:
        entry = tango.DbDevInfo()
        entry.name = device
        entry._class = CLASS_NAME  # noqa: SLF001 - PyTango's name, class is a Python keyword
        entry.server = server_instance
        database.add_device(entry)
    elif registered.class_name != CLASS_NAME or (
        registered.ds_full_name.lower() != server_instance.lower()
    ):
        raise ConfigurationError(
            f"the device {device} is registered already: class {registered.class_name}"
            f" of {registered.ds_full_name}",
            advice="Choose another name, or delete that device first",
        )


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
) -> None:
    there = get(owner, list(wanted))
    changed = {
        name: list(values) for name, values in wanted.items() if list(there[name]) != list(values)
    }
    if changed:
        put(owner, changed)


def _put_alias(database: tango.Database, device: str, alias: str) -> None:
    try:
        owner = database.get_device_from_alias(alias)
    except tango.DevFailed:
        database.put_device_alias(device, alias)
        return
    if owner.lower() != device.lower():
        raise ConfigurationError(
            f"the alias {alias} belongs to {owner}", advice="Choose another alias"
        )
