"""What the whole saver is doing, as one value that a device, a terminal or a log can show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tango_saver.model.report import ScanProgress, ScanReport


class SaverState(StrEnum):
    """The names are those of the Tango states they become."""

    INIT = "INIT"
    """Settings are being read, workers started."""
    OFF = "OFF"
    """Stopped: no scan is listened to."""
    ON = "ON"
    """Listening for scans."""
    RUNNING = "RUNNING"
    """Listening, and saving at least one scan."""
    MOVING = "MOVING"
    """Stopping: no new scan is taken, running ones are finished."""
    ALARM = "ALARM"
    """Working, but somebody should look: a scan failed, points were lost, Redis away, disk low."""
    FAULT = "FAULT"
    """Not working until somebody acts."""


@dataclass(frozen=True, slots=True)
class SaverStatus:
    """A snapshot; consistent in itself, made anew at every change."""

    state: SaverState
    status: str
    """What is going on and what to do, in words."""
    current_scan: str = ""
    """``<number>_<name>`` of the newest scan being saved, empty if none."""
    last_file: str = ""
    """Target of the newest finished scan; survives Stop and a restart."""
    last_error: str = ""
    alarms: tuple[str, ...] = ()
    """Why somebody should look, one sentence each: what lasts, then what waits for Reset."""
    running: tuple[ScanProgress, ...] = ()
    """Scans being saved, oldest first."""
    finished: tuple[ScanReport, ...] = ()
    """The newest finished scans, newest first, a bounded number."""
    elsewhere: tuple[ScanProgress | ScanReport, ...] = ()
    """Scans of a shared session that other instances save, or have saved; a bounded number."""
    scans_saved: int = 0
    """Since the start of the server, like the next four."""
    scans_failed: int = 0
    points_saved: int = 0
    points_lost: int = 0
    bytes_saved: int = 0
    data_rate: float = 0.0
    """MB/s of point values, over the last seconds."""
    lag_s: float = 0.0
    """Largest lag of the running scans."""
    disk_free_gb: float = float("nan")
    """GB free where the last target lies; NaN before the first scan."""
    disk_time_left_s: float = float("nan")
    """Until that disk is full at the present data rate; infinite if nothing is written."""
    seconds_to_data_loss: float = float("inf")
    """Until Redis may drop points that are not saved; infinite if none can be lost."""
    workers: int = 0
    """Worker processes alive."""
    worker_restarts: int = 0
