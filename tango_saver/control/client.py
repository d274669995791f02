"""A saver as a Tango client sees it: its values at once, or as they change."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import tango

from tango_saver.errors import ConfigurationError

Values: TypeAlias = Mapping[str, Any]
"""Attribute -> text, number or list of such."""

SHOWN = (
    "State", "Status", "Session", "CurrentScan", "LastFile", "RunningScans", "ScanProgress",
    "ScansSaved", "ScansFailed", "PointsSaved", "PointsLost", "BytesSaved", "DataRate", "Lag",
    "DiskFree", "LastError", "Warnings", "Version",
)  # fmt: skip
"""What a person looks at, in this order."""
TOLD = (
    *SHOWN, "FinishedScans", "DiskTimeLeft", "SecondsToDataLoss", "Workers", "WorkerRestarts",
    "RedisUrl", "Settings",
)  # fmt: skip
"""What a script may want."""
_NAMES = {name.lower(): name for name in SHOWN}
"""Events carry names in small letters."""


def read_values(device: str, names: Sequence[str] = SHOWN) -> dict[str, Any]:
    """Values of attributes now.

    Raises:
        ConfigurationError: there is no such device, it does not run, or it is no saver.
    """
    with _told(device):
        found = tango.DeviceProxy(device).read_attributes(list(names))
        for attribute in found:
            if attribute.has_failed:
                raise tango.DevFailed(*attribute.get_err_stack())
        return {attribute.name: _plain(attribute.value) for attribute in found}


@dataclass
class Watched:
    """Values that events keep up to date; ``changed`` is set whenever one came."""

    values: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""
    """Why no events come at present."""
    changed: threading.Event = field(default_factory=threading.Event)

    def take(self, event: tango.EventData) -> None:
        """Called by Tango with every event."""
        if event.err:
            self.trouble = _line(event.errors[0])
        else:
            self.trouble = ""
            name = _NAMES[event.attr_value.name.lower()]
            self.values[name] = _plain(event.attr_value.value)
        self.changed.set()


@contextmanager
def watched(device: str) -> Iterator[Watched]:
    """Subscribe to all that a person looks at; a device that is restarted is found again.

    Raises:
        ConfigurationError: see ``read_values``.
    """
    seen = Watched(read_values(device))
    with _told(device):
        proxy = tango.DeviceProxy(device)
        subscriptions = [
            proxy.subscribe_event(name, tango.EventType.CHANGE_EVENT, seen.take) for name in SHOWN
        ]
    try:
        yield seen
    finally:
        for subscription in subscriptions:
            proxy.unsubscribe_event(subscription)


@contextmanager
def _told(device: str) -> Iterator[None]:
    try:
        yield
    except tango.DevFailed as error:
        raise ConfigurationError(
            f"{device} cannot be read: {_line(error.args[0])}",
            advice="Check its name and TANGO_HOST, and that its server runs",
        ) from error


def _line(error: tango.DevError) -> str:
    return " ".join(error.desc.split()).rstrip(" !.")


def _plain(value: Any) -> Any:
    """As JSON has it: text, number or list."""
    if isinstance(value, tango.DevState):
        return str(value)
    if value is None:
        return []
    if isinstance(value, str | int | float):
        return value
    return [_plain(element) for element in getattr(value, "tolist", lambda: list(value))()]
