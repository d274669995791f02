"""What is known of one scan, in the words of the Tango writers that BLISS knows."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TypeAlias

import tango

from tango_saver.control.shown import Snapshot, scan_label
from tango_saver.engine.wording import disk_trouble
from tango_saver.errors import DiskFullError, TargetForbiddenError, TargetPathError
from tango_saver.model.report import SavingState, ScanProgress, ScanReport
from tango_saver.model.status import SaverStatus

SavedScan: TypeAlias = ScanProgress | ScanReport
"""A scan while it is saved, and after."""

_FORBIDDEN = frozenset({TargetPathError.__name__, TargetForbiddenError.__name__})


def find_scan(status: SaverStatus, name: str) -> SavedScan | None:
    """The newest scan with that name, or the one with that key.

    Names repeat: every dataset begins with scan 1.
    """
    known: tuple[SavedScan, ...] = (*status.running, *status.elsewhere, *status.finished)
    found = [scan for scan in known if name in (scan.key, scan_label(scan))]
    return max(found, key=lambda scan: scan.started_at, default=None)


def is_awaited(scan: SavedScan | None, before: SavedScan | None) -> bool:
    """Whether this is the scan that somebody asks for who has just created it, looked at by now.

    Args:
        scan: what is found under its name.
        before: what was found when it was asked for: if that was finished, it is another one
            of that name.
    """
    if isinstance(scan, ScanReport):
        return not isinstance(before, ScanReport) or before.key != scan.key
    return scan is not None and scan.checked


def scan_state(scan: SavedScan | None) -> tango.DevState:
    """INIT, ON while it is saved, OFF once it is, FAULT if data are missing; never raises."""
    if scan is None:
        return tango.DevState.UNKNOWN
    if isinstance(scan, ScanProgress):
        return tango.DevState.ON if scan.checked else tango.DevState.INIT
    return tango.DevState.FAULT if scan.state is SavingState.FAILED else tango.DevState.OFF


def scan_reason(scan: SavedScan | None) -> str:
    """Why the scan is in its state, in one line; empty if there is nothing to say."""
    if scan is None:
        return ""
    text = scan.error or (scan.notice if isinstance(scan, ScanProgress) else "")
    return " ".join(text.removeprefix(f"scan {scan.key}: ").split())


def may_be_written(scan: SavedScan | None) -> bool:
    """False only if it was found out that the target may not be written."""
    return not (isinstance(scan, ScanReport) and scan.refusal in _FORBIDDEN)


def disk_error(scan: SavedScan | None) -> str:
    """Why the disk has no room for the scan, empty if it has."""
    if isinstance(scan, ScanReport) and scan.refusal == DiskFullError.__name__:
        return scan_reason(scan)
    return ""


def present_warnings(scan: SavedScan | None, shown: Snapshot) -> list[str]:
    """What the user should know of a running scan now: what it waits for, a disk that fills."""
    if not isinstance(scan, ScanProgress):
        return []
    disk = disk_trouble(scan.target, shown.status.disk_free_gb, shown.settings)
    return [text for text in (scan.error, disk) if text]


def scan_urls(scan: SavedScan | None) -> list[str]:
    """``file::/N.M`` of every entry that is there."""
    return [f"{scan.target}::/{entry}" for entry in scan.entries] if scan is not None else []


def listed_scans(shown: Snapshot) -> list[SavedScan]:
    """All scans that are known and were not purged, oldest first."""
    kept = [
        report
        for report in shown.status.finished
        if report.state is SavingState.FAILED or report.finished_at > shown.purged_at
    ]
    return [*reversed(kept), *shown.status.running]


def time_text(seconds: float) -> str:
    """Local time of day with its date."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def end_text(scan: SavedScan) -> str:
    """When it was saved."""
    return time_text(scan.finished_at) if isinstance(scan, ScanReport) else "not finished"


def duration_text(scan: SavedScan) -> str:
    """How long its saving took, hours, minutes and seconds; so far, if it goes on."""
    end = scan.finished_at if isinstance(scan, ScanReport) else time.time()
    return str(timedelta(seconds=round(max(0.0, end - scan.started_at))))


def progress_text(scan: SavedScan) -> str:
    """Points that are saved, and how many there will be if that is known."""
    if isinstance(scan, ScanReport) or scan.points_expected is None:
        return f"{scan.points_saved} points"
    return f"{scan.points_saved} of {scan.points_expected} points"


def state_text(scan: SavedScan) -> str:
    """Name of the state, and why."""
    reason = scan_reason(scan)
    state = str(scan_state(scan))
    return f"{state}: {reason}" if reason else state
