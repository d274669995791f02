"""The commands for people that speak to Tango: ``tango-saver register | status | watch``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from tango_saver.errors import SaverError

_EXIT_ERROR = 1
_EXIT_OF_STATE = {"ON": 0, "RUNNING": 0, "ALARM": 4, "FAULT": 5}
"""All others listen to nothing."""
_EXIT_NOT_LISTENING = 6
_REFRESH_S = 1.0
"""Longest time between two looks at what is shown."""


def register(
    session: Annotated[str, typer.Option(help="Name of the BLISS session.")],
    instance: Annotated[
        str,
        typer.Option(help="Instance of the server TangoSaver; by default the session's name."),
    ] = "",
    domain: Annotated[str, typer.Option(help="First part of the device names.")] = "id00",
    redis: Annotated[str, typer.Option(help="URL of the Redis that BLISS publishes into.")] = "",
    beacon_host: Annotated[
        str, typer.Option(help="Beacon as host:port, to be asked for the URL of Redis.")
    ] = "",
    allowed_root: Annotated[
        list[str] | None,
        typer.Option(help="Folder below which files may be written; may be repeated."),
    ] = None,
    device_property: Annotated[
        list[str] | None,
        typer.Option("--property", help="Any other property, as name=value; may be repeated."),
    ] = None,
    writers: Annotated[
        bool,
        typer.Option(help="Also those that BLISS calls; not for the second server of a session."),
    ] = True,
    beacon_files: Annotated[
        Path | None,
        typer.Option(help="Folder of Beacon's configuration, if its Tango database is used."),
    ] = None,
) -> None:
    """Register the devices of a session: TangoSaver, NexusWriter and BlissWriter.

    Says what it did. May be repeated: what is as wanted is left alone, and so are properties
    that are not given. Beacon's Tango database knows its files only: there the file is written,
    or printed without --beacon-files.
    """
    from tango_saver.control import registration  # noqa: PLC0415 - Tango; not for --help
    from tango_saver.control.property_check import check_properties  # noqa: PLC0415

    properties = _properties(redis, beacon_host, allowed_root or [], device_property or [])
    devices = registration.SessionDevices(session, instance, domain, properties, writers)
    try:
        check_properties(devices.all_properties)
        database = registration.tango_database()
        if registration.is_beacon(database) and registration.missing_devices(database, devices):
            if beacon_files is not None:
                typer.echo(registration.write_beacon_file(beacon_files, devices))
                return
            typer.echo(registration.beacon_yaml(devices), nl=False)
            typer.echo(
                "This Tango database is Beacon's, which forgets what is registered by programs:"
                " nothing was done. Put the above into a file below tango/ in the folder of its"
                " configuration, or repeat this with --beacon-files FOLDER, and restart Beacon.",
                err=True,
            )
            return
        done = registration.register_session(database, devices)
        typer.echo("\n".join(done))
        is_changed = not all(line.endswith(registration.UNCHANGED) for line in done)
        if is_changed and registration.is_running(database, devices):
            typer.echo(f"{devices.server} runs: changed properties take effect at Init.")
    except (SaverError, *registration.DATABASE_ERRORS) as error:
        typer.echo(f"tango-saver: {registration.one_line(error)}", err=True)
        raise typer.Exit(_EXIT_ERROR) from error


def status(
    device: Annotated[str, typer.Argument(help="Name of the device.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="All values as JSON; null: unknown or infinite.")
    ] = False,
) -> None:
    """Say what a saver is doing; the exit code says whether it works.

    0 listening, 4 ALARM, 5 FAULT, 6 not listening, 1 it cannot be read.
    """
    from tango_saver.control import client  # noqa: PLC0415 - Tango; not for --help

    try:
        values = client.read_values(device, client.TOLD if as_json else client.SHOWN)
    except SaverError as error:
        raise _failure(error) from error
    state = str(values["State"])
    if as_json:
        typer.echo(json.dumps({"device": device, **_without_nan(values)}, indent=1))
    else:
        typer.echo(f"{state}: {values['Status']}")
    code = _EXIT_OF_STATE.get(state, _EXIT_NOT_LISTENING)
    if code:
        raise typer.Exit(code)


def watch(device: Annotated[str, typer.Argument(help="Name of the device.")]) -> None:
    """Show live what a saver is doing, until Ctrl-C."""
    from rich.console import Console  # noqa: PLC0415 - not for --help, like the next ones
    from rich.live import Live  # noqa: PLC0415

    from tango_saver.control.client import watched  # noqa: PLC0415
    from tango_saver.control.live_view import live_view  # noqa: PLC0415

    try:
        with (
            watched(device) as seen,
            Live(live_view(device, seen.values), console=Console(), auto_refresh=False) as live,
        ):
            while True:
                seen.changed.wait(_REFRESH_S)
                seen.changed.clear()
                live.update(live_view(device, dict(seen.values), seen.trouble), refresh=True)
    except KeyboardInterrupt:
        return
    except SaverError as error:
        raise _failure(error) from error


def _failure(error: SaverError) -> typer.Exit:
    typer.echo(f"tango-saver: {error}", err=True)
    return typer.Exit(_EXIT_ERROR)


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has neither nan nor infinity: null stands for them."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(element) for element in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return {name: plain(value) for name, value in values.items()}


def _properties(
    redis: str, beacon_host: str, allowed_roots: list[str], others: list[str]
) -> dict[str, list[str]]:
    given = {
        "redis_url": [redis] if redis else [],
        "beacon_host": [beacon_host] if beacon_host else [],
        "allowed_roots": allowed_roots,
    }
    for other in others:
        name, equals, value = other.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(f"{other!r} is not name=value", param_hint="--property")
        given.setdefault(name.strip(), []).append(value.strip())
    return {name: values for name, values in given.items() if values}
