"""What the device shows: one snapshot, and how each attribute's value is taken from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tango.server import Device, attribute

from tango_saver.engine.wording import shown_url
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
    purged_at: float = 0.0
    """Seconds since the epoch; scans that were saved by then are not listed any more."""


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
    return ": ".join(filter(None, (line, report.error, "; ".join(report.warnings))))


def warning_lines(status: SaverStatus) -> list[str]:
    """Why the state is ALARM, then the warnings of the scans being saved."""
    of_running = [
        f"{scan_label(scan)}: {warning}"
        for scan in status.running
        for warning in (*filter(None, [scan.notice]), *scan.warnings)
    ]
    return [*status.alarms, *of_running]


def settings_text(settings: SaverSettings) -> str:
    """One line per setting, ``name = value``, without passwords."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    values["redis_url"] = shown_url(settings.redis_url)
    return "\n".join(
        f"{name} = {', '.join(value) if isinstance(value, tuple) else value}"
        for name, value in values.items()
    )
