"""Registers what one BLISS session needs: the saver, and the writers that BLISS calls."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tango

from tango_saver.control.register import SERVER_NAME, register
from tango_saver.errors import ConfigurationError

DATABASE_ERRORS = (tango.DevFailed,)
"""What a Tango database raises when it refuses."""

UNCHANGED = "nothing to change"
"""How the line of a device ends that was as wanted."""

_FAMILIES = {
    "TangoSaver": "tango_saver",
    "NexusWriter": "nexus_writer",
    "BlissWriter": "bliss_writer",
}
"""Second part of the device names, by class."""
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_/]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
"""What YAML does not take for a text."""
_BEACON = "Beacon"
"""How Beacon's Tango database begins when it is asked what it is."""


@dataclass(frozen=True, slots=True)
class SessionDevices:
    """The devices of one session, all in one server and with the same properties.

    Args:
        session: name of the BLISS session.
        instance: of the server ``TangoSaver``; empty for the name of the session.
        domain: first part of the device names.
        properties: further device properties.
        has_writers: whether the devices that BLISS calls are among them; it wants one of each.
    """

    session: str
    instance: str = ""
    domain: str = "id00"
    properties: Mapping[str, Sequence[str]] | None = None
    has_writers: bool = True

    @property
    def server(self) -> str:
        """``TangoSaver/<instance>``."""
        return f"{SERVER_NAME}/{self.instance or self.session}"

    @property
    def names(self) -> dict[str, str]:
        """Device name by class."""
        return {
            class_name: f"{self.domain}/{family}/{self.session}"
            for class_name, family in _FAMILIES.items()
            if self.has_writers or class_name == SERVER_NAME
        }

    @property
    def all_properties(self) -> dict[str, list[str]]:
        """The session's name first."""
        given = {name: list(values) for name, values in (self.properties or {}).items()}
        return {"session": [self.session], **given}


def tango_database() -> tango.Database:
    """The Tango database of TANGO_HOST.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return tango.Database()
    except tango.DevFailed as error:
        host = tango.ApiUtil.get_env_var("TANGO_HOST")
        raise ConfigurationError(
            f"no Tango database at {host}: {one_line(error)}" if host else one_line(error),
            advice="Start it, or set TANGO_HOST to its host:port",
        ) from error


def one_line(error: Exception) -> str:
    """What an error says, for people; of a Tango error its description."""
    text = error.args[0].desc if isinstance(error, tango.DevFailed) else str(error)
    return " ".join(text.split())


def register_session(database: tango.Database, devices: SessionDevices) -> list[str]:
    """Register all devices of a session; what is as wanted already is left alone.

    In Beacon's database devices cannot be made, see ``missing_in_beacon``; those that its
    files declare get their properties like those of others.

    Returns:
        one line per device: what was done.

    Raises:
        ConfigurationError: a name belongs to something else, or BLISS would find two writers.
        tango.DevFailed: the database refused.
    """
    for class_name, name in devices.names.items():
        _refuse_second_writer(database, devices, class_name, name)
    lines = []
    for class_name, name in devices.names.items():
        changes = register(
            database,
            server_instance=devices.server,
            device=name,
            properties=devices.all_properties,
            class_name=class_name,
        )
        lines.append(f"{name} ({class_name}): {'; '.join(changes) or UNCHANGED}")
    return lines


def is_beacon(database: tango.Database) -> bool:
    """Whether this is the Tango database of Beacon, which loses what clients register."""
    return str(database.get_info()).startswith(_BEACON)


def missing_devices(database: tango.Database, devices: SessionDevices) -> list[str]:
    """The devices of the session that the database does not know."""
    return [
        name
        for class_name, name in devices.names.items()
        if name.lower() not in map(str.lower, database.get_device_name(devices.server, class_name))
    ]


def is_running(database: tango.Database, devices: SessionDevices) -> bool:
    """Whether a server has the devices of the session, as far as the database knows."""
    return any(database.get_device_info(name).exported for name in devices.names.values())


def beacon_yaml(devices: SessionDevices) -> str:
    """The file that declares the devices to Beacon."""
    lines = [
        f"server: {SERVER_NAME}",
        f"personal_name: {_scalar(devices.server.partition('/')[2])}",
        "device:",
    ]
    for class_name, name in devices.names.items():
        lines += [f"- tango_name: {_scalar(name)}", f"  class: {class_name}", "  properties:"]
        lines += [
            f"    {property_name}: {_value(values)}"
            for property_name, values in devices.all_properties.items()
        ]
    return "\n".join(lines) + "\n"


def write_beacon_file(folder: Path, devices: SessionDevices) -> str:
    """Declare the devices to Beacon in a file of their own; it reads it when it starts.

    Args:
        folder: Beacon's configuration.
        devices: of the session.

    Returns:
        what was done, one line.

    Raises:
        ConfigurationError: the folder is not Beacon's, or the file says something else already.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder} is no folder", advice="Give the folder of Beacon's configuration (--db-path)"
        )
    file = folder / "tango" / f"{devices.server.replace('/', '_')}.yml"
    text = beacon_yaml(devices)
    try:
        if file.exists():
            if file.read_text() == text:
                return f"{file}: nothing to change"
            raise ConfigurationError(
                f"{file} is there already and says something else",
                advice=f"Move it away, or put this into it:\n{text}",
            )
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be written: {error.strerror}",
            advice="Run this as a user who may edit Beacon's configuration",
        ) from error
    return f"{file}: written. Restart Beacon, then start {devices.server.replace('/', ' ')}"


def _refuse_second_writer(
    database: tango.Database, devices: SessionDevices, class_name: str, name: str
) -> None:
    """BLISS refuses to scan if it finds more than one writer of its session."""
    if class_name == SERVER_NAME:
        return
    for other in database.get_device_name("*", class_name):
        found = database.get_device_property(other, ["session", "beacon_host"])
        if other.lower() == name.lower() or list(found["session"])[:1] != [devices.session]:
            continue
        hosts = list(found["beacon_host"])[:1], devices.all_properties.get("beacon_host", [])[:1]
        if all(hosts) and hosts[0] != hosts[1]:
            continue
        server = database.get_device_info(other).ds_full_name
        raise ConfigurationError(
            f"{other} of {server} is a {class_name} of the session {devices.session} already;"
            " BLISS scans with one of them only",
            advice="Delete that device, or stop using this session with it. The second server of"
            " a shared session is registered with --no-writers",
        )


def _value(values: Sequence[str]) -> str:
    if len(values) == 1:
        return _scalar(values[0])
    return f"[{', '.join(map(_scalar, values))}]"


def _scalar(text: str) -> str:
    """As YAML takes it for a text: quoted if it could be read as something else."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain else json.dumps(text)
