"""What a saver is doing, drawn for a terminal."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tango_saver.control.client import Values

_COLOURS = {
    "ON": "green", "RUNNING": "blue", "OFF": "white", "MOVING": "cyan", "INIT": "yellow",
    "ALARM": "dark_orange", "FAULT": "red",
}  # fmt: skip
"""Those of Tango."""


def live_view(device: str, values: Values, trouble: str = "") -> RenderableType:
    """State and numbers, a progress bar for each scan, and what somebody should look at.

    Args:
        device: its name.
        values: by attribute.
        trouble: why the values may be old; empty if they are not.
    """
    state = str(values.get("State", "UNKNOWN"))
    colour = "red" if trouble else _COLOURS.get(state, "white")
    parts: list[RenderableType] = [_line("session", str(values.get("Session", "")))]
    parts.append(_numbers(values))
    if values.get("RunningScans"):
        parts.append(_scans(values))
    if values.get("LastFile"):
        parts.append(_line("last file", str(values["LastFile"])))
    if trouble:
        parts.append(Text(f"No contact: {trouble}", style="red"))
    parts += [Text(str(warning), style="dark_orange") for warning in values.get("Warnings", ())]
    if state in {"FAULT", "OFF", "INIT"}:
        parts.append(Text(str(values.get("Status", ""))))
    title = Text.assemble((f" {state} ", f"bold {colour} reverse"), f" {device} ")
    return Panel(Group(*parts), title=title, title_align="left", border_style=colour)


def _line(name: str, text: str) -> Text:
    return Text.assemble((f"{name:11}", "dim"), text)


def _numbers(values: Values) -> Table:
    grid = Table.grid(padding=(0, 3))
    cells = (
        ("saved", str(values.get("ScansSaved", 0))),
        ("failed", str(values.get("ScansFailed", 0))),
        ("rate", f"{_number(values.get('DataRate'), '.1f')} MB/s"),
        ("lag", f"{_number(values.get('Lag'), '.2f')} s"),
        ("free", f"{_number(values.get('DiskFree'), '.1f')} GB"),
    )
    grid.add_row(*(Text.assemble((f"{name}  ", "dim"), (text, "bold")) for name, text in cells))
    return grid


def _scans(values: Values) -> Table:
    table = Table.grid(padding=(0, 2))
    progress = list(values.get("ScanProgress", ()))
    for index, name in enumerate(values["RunningScans"]):
        # two events bring the two lists: for a moment they may differ in length
        percent = float(progress[index]) if index < len(progress) else math.nan
        is_known = not math.isnan(percent)
        bar = ProgressBar(100, percent if is_known else 0.0, width=40, pulse=not is_known)
        table.add_row(str(name), bar, f"{percent:5.1f} %" if is_known else "length unknown")
    return table


def _number(value: Any, form: str) -> str:
    if not isinstance(value, int | float) or math.isnan(value):
        return "?"
    return format(value, form)
