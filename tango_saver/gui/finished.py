"""Finished scans, taken from the lines of text in which the device tells of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LINE = re.compile(
    r"(?P<scan>.*?): (?P<state>[A-Z]+), (?P<points>\d+) points, (?P<end>.*?)"
    r" -> (?P<file>.*?)(?:::/(?P<entry>[^:]*))?(?:: (?P<note>.*))?",
    re.DOTALL,
)
_SAVED = "SAVED"


@dataclass(frozen=True, slots=True)
class FinishedScan:
    """One row of the last files."""

    scan: str
    """``12_ascan``; empty if only its file is known."""
    outcome: str
    """What became of it, in a few words."""
    file: str
    entry: str = ""
    note: str = ""
    """Error and warnings; empty if there are none."""
    is_complete: bool = True


def finished_scan(line: str) -> FinishedScan | None:
    """What a line of ``FinishedScans`` says; None if it is no such line."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    state, end = found["state"].lower(), found["end"]
    outcome = f"{state}, {int(found['points']):,} points"
    return FinishedScan(
        scan=found["scan"],
        outcome=outcome if end == "SUCCESS" else f"{outcome}, {end}",
        file=found["file"],
        entry=found["entry"] or "",
        note=found["note"] or "",
        is_complete=found["state"] == _SAVED and not found["note"],
    )


def last_files(lines: Iterable[str], last_file: str) -> tuple[FinishedScan, ...]:
    """Rows of the last files, newest first.

    Args:
        lines: ``FinishedScans``, which a restart of the server empties.
        last_file: ``LastFile``, which survives it.
    """
    scans = tuple(scan for line in lines if (scan := finished_scan(line)) is not None)
    if last_file and last_file not in {scan.file for scan in scans}:
        return (*scans, FinishedScan("", "before the server started", last_file))
    return scans
