"""What the panel shows, computed from the values of the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tango_saver.control.client import Values
from tango_saver.gui.finished import FinishedScan, last_files

PANEL_ATTRIBUTES = (
    "Status", "Session", "RunningScans", "ScanProgress", "FinishedScans", "LastFile",
    "ScansSaved", "ScansFailed", "PointsLost", "DataRate", "Lag", "DiskFree", "DiskTimeLeft",
    "SecondsToDataLoss", "Warnings", "LastError", "State",
)  # fmt: skip
"""Those whose events the panel listens to. The state is pushed last, hence stands last."""

NO_CONTACT = "UNKNOWN"
_LEDS = {
    "ON": ("green", True), "RUNNING": ("blue", True), "OFF": ("black", False),
    "MOVING": ("blue", True), "INIT": ("yellow", True), "ALARM": ("orange", True),
    "FAULT": ("red", True),
}  # fmt: skip
"""Colour and whether it is lit, as Taurus shows these states itself."""
_NO_LED = ("black", False)
_TINTS = {"ALARM": "#fff1dc", "FAULT": "#fde2e0", NO_CONTACT: "#ececec"}
_PLAIN = "#eef4ee"
_BEGINS = frozenset({"OFF", "MOVING", "FAULT"})
_NOT_LISTENING = "Not listening"
"""What Status says if a scan is saved on demand, without Start."""
_ENDS = frozenset({"ON", "RUNNING", "ALARM", "FAULT"})
_SOON_LOST_S = 60.0
_SOON_FULL_S = 600.0
"""Those of the alarms of the device."""
_WORTH_TELLING_S = 86400.0
_FOR_EVER_S = 100 * 86400.0
_SMALL_RATE = 0.1
"""In MB/s."""
_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class ScanBar:
    """The progress of one running scan."""

    scan: str
    percent: float | None
    """0 to 100; None if the length of the scan is unknown."""

    @property
    def text(self) -> str:
        """What stands in the bar."""
        return "length unknown" if self.percent is None else f"{self.percent:.0f} %"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its name."""

    name: str
    text: str
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class PanelView:
    """Everything that the panel shows at one moment."""

    state: str
    led: tuple[str, bool]
    """Colour, and whether it is lit."""
    tint: str
    """Colour behind the status."""
    status: str
    session: str
    figures: tuple[Figure, ...]
    bars: tuple[ScanBar, ...]
    files: tuple[FinishedScan, ...]
    warnings: tuple[str, ...]
    """Those that the status does not spell out."""
    commands: frozenset[str]
    """Commands that make sense now."""
    is_connected: bool


def panel_view(values: Values, trouble: str = "") -> PanelView:
    """What to show.

    Args:
        values: by attribute, as far as they arrived.
        trouble: why no events come at present; empty if they do.
    """
    state = NO_CONTACT if trouble or "State" not in values else str(values["State"])
    status = f"No contact: {trouble}" if trouble else str(values.get("Status", "Connecting."))
    is_connected = state != NO_CONTACT
    return PanelView(
        state=state,
        led=_LEDS.get(state, _NO_LED),
        tint=_TINTS.get(state, _PLAIN),
        status=status,
        session=_session(str(values.get("Session", ""))),
        figures=_figures(values),
        bars=_bars(values) if is_connected else (),
        files=last_files(values.get("FinishedScans", ()), str(values.get("LastFile", ""))),
        warnings=_warnings(values, status) if is_connected else (),
        commands=_commands(state, status) if is_connected else frozenset(),
        is_connected=is_connected,
    )


def summary(values: Values, trouble: str = "") -> str:
    """The saver in one line."""
    if trouble or "State" not in values:
        return f"No contact: {trouble}" if trouble else "Connecting."
    bars = _bars(values)
    parts = [str(values["State"]), ", ".join(f"{bar.scan} {bar.text}" for bar in bars)]
    if bars:
        parts.append(_rate(values.get("DataRate")))
    elif values.get("LastFile"):
        parts.append(str(values["LastFile"]))
    return " · ".join(filter(None, parts))


def _session(name: str) -> str:
    if name == "*":
        return "every session"
    return f"session {name}" if name else ""


def _commands(state: str, status: str) -> frozenset[str]:
    start = {"Start"} if state in _BEGINS or _NOT_LISTENING in status else set()
    stop = {"Stop"} if state in _ENDS else set()
    return frozenset({"Reset", "Init"} | start | stop)


def _figures(values: Values) -> tuple[Figure, ...]:
    until_loss = values.get("SecondsToDataLoss")
    return (
        Figure("scans saved", _count(values.get("ScansSaved"))),
        _bad_if_any("scans failed", values.get("ScansFailed")),
        _bad_if_any("points lost", values.get("PointsLost")),
        Figure("rate", _rate(values.get("DataRate"))),
        Figure("lag", _number(values.get("Lag"), ".2f", "s")),
        _disk(values),
        Figure("data loss in", _duration(until_loss), is_bad=_is_below(until_loss, _SOON_LOST_S)),
    )


def _disk(values: Values) -> Figure:
    free, left = _number(values.get("DiskFree"), ",.1f", "GB"), values.get("DiskTimeLeft")
    text = f"{free}, full in {_duration(left)}" if _is_below(left, _WORTH_TELLING_S) else free
    alarms = " ".join(map(str, values.get("Warnings", ())))
    is_low = values.get("State") == "ALARM" and "disk" in alarms.lower()
    return Figure("disk free", text, is_bad=is_low or _is_below(left, _SOON_FULL_S))


def _is_below(value: Any, limit: float) -> bool:
    return isinstance(value, int | float) and value < limit


def _duration(seconds: Any) -> str:
    """In the largest unit that it has two of; a dash for ever."""
    if not isinstance(seconds, int | float) or math.isnan(seconds):
        return _UNKNOWN
    if math.isinf(seconds) or seconds >= _FOR_EVER_S:
        return "–"  # noqa: RUF001 - a dash, as in tables
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _bad_if_any(name: str, value: Any) -> Figure:
    return Figure(name, _count(value), is_bad=isinstance(value, int) and value > 0)


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else _UNKNOWN


def _number(value: Any, form: str, unit: str) -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return _UNKNOWN
    return f"{value:{form}} {unit}"


def _rate(value: Any) -> str:
    """In the unit that suits its size; slow scans bring less than a kilobyte per second."""
    if isinstance(value, int | float) and value < _SMALL_RATE:
        return _number(value * 1000, ".1f", "kB/s")
    return _number(value, ".1f", "MB/s")


def _bars(values: Values) -> tuple[ScanBar, ...]:
    scans: Sequence[str] = values.get("RunningScans", ())
    progress: Sequence[float] = values.get("ScanProgress", ())
    # two events bring the two lists: for a moment they may differ in length
    known = [*map(float, progress), *[math.nan] * len(scans)]
    return tuple(
        ScanBar(str(scan), None if math.isnan(percent) else min(max(percent, 0.0), 100.0))
        for scan, percent in zip(scans, known, strict=False)
    )


def _warnings(values: Values, status: str) -> tuple[str, ...]:
    warnings = [str(warning) for warning in values.get("Warnings", ())]
    error = str(values.get("LastError", ""))
    if error and not any(error.rstrip(".") in text for text in (status, *warnings)):
        warnings.append(f"Last error: {error}")
    # the status says several in one sentence, without their full stops
    return tuple(warning for warning in warnings if warning.rstrip(".") not in status)
