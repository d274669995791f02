"""What the device shows: one snapshot, and how each attribute's value is taken from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tango.server import Device, attribute

from tango_saver.model.report import ScanProgress, ScanReport
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverStatus

Value = str | int | float | Sequence[str | float]
LONGEST_LIST = 1024
"""Elements of the list attributes, the rest is cut off."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the device shows at one moment."""

    settings: SaverSettings
    status: SaverStatus


class ShownAttribute(attribute):
    """A read-only attribute whose value is a pure function of the snapshot.

    Reading it and pushing its events use the same function, so they cannot disagree.
    The device has a method ``snapshot() -> Snapshot``.
    """

    def __init__(self, value: Callable[[Snapshot], Value], **description: Any) -> None:
        def read(device: Device) -> Value:
            return self.value(device.snapshot())

        self._value = value
        super().__init__(fget=read, **description)

    def value(self, snapshot: Snapshot) -> Value:
        """The value as Tango takes it: Latin-1 text, lists of bounded length."""
        value = self._value(snapshot)
        if isinstance(value, str):
            return tango_text(value)
        if isinstance(value, int | float):
            return value
        return [
            tango_text(element) if isinstance(element, str) else element
            for element in value[:LONGEST_LIST]
        ]


def shown_attributes(device_class: type[Device]) -> dict[str, ShownAttribute]:
    """The attributes of a device class by name."""
    return {
        name: member
        for base in device_class.__mro__
        for name, member in vars(base).items()
        if isinstance(member, ShownAttribute)
    }


def tango_text(text: str) -> str:
    """Text that a Tango string can carry; other characters become question marks."""
    return text.replace("\0", " ").encode("latin-1", "replace").decode("latin-1")


def without_password(url: str) -> str:
    """The URL of Redis as everybody may see it."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user_and_host = parts.netloc.rpartition("@")
    user = user_and_host[0].partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{user_and_host[2]}"))


def scan_label(scan: ScanProgress | ScanReport) -> str:
    """``12_ascan``, as commands accept it too."""
    return f"{scan.number}_{scan.name}"


def percent(scan: ScanProgress) -> float:
    """How much of a scan is saved, 0 to 100; NaN if its length is unknown."""
    if not scan.points_expected:
        return math.nan
    return min(100.0, 100.0 * scan.points_saved / scan.points_expected)


def finished_line(report: ScanReport) -> str:
    """One line on a finished scan: what became of it, and where it is."""
    where = f"{report.target}::/{report.entries[0]}" if report.entries else report.target
    line = (
        f"{scan_label(report)}: {report.state.value}, {report.points_saved} points,"
        f" {report.end_reason or 'no end'} -> {where}"
    )
    return f"{line}: {report.error}" if report.error else line


def warning_lines(status: SaverStatus) -> list[str]:
    """Warnings of the scans being saved, then of the finished ones, newest first."""
    scans: list[ScanProgress | ScanReport] = [*status.running, *status.finished]
    return [f"{scan_label(scan)}: {warning}" for scan in scans for warning in scan.warnings]


def settings_text(settings: SaverSettings) -> str:
    """One line per setting, ``name = value``, without passwords."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    values["redis_url"] = without_password(settings.redis_url)
    return "\n".join(
        f"{name} = {', '.join(value) if isinstance(value, tuple) else value}"
        for name, value in values.items()
    )
