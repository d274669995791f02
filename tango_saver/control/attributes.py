"""The attributes of the device: each a function of the saver's snapshot, with its description."""

from __future__ import annotations

from tango import DevState, DispLevel
from tango.server import Device

from tango_saver import __version__
from tango_saver.control.shown import (
    LONGEST_LIST,
    ShownAttribute,
    Snapshot,
    finished_line,
    percent,
    scan_label,
    settings_text,
    tango_text,
    warning_lines,
)
from tango_saver.engine.wording import shown_url

_EXPERT = {"display_level": DispLevel.EXPERT}
_TEXTS = {"dtype": (str,), "max_dim_x": LONGEST_LIST}


class ShowingDevice(Device):
    """Shows a saver; read-only."""

    CurrentScan = ShownAttribute(
        lambda shown: shown.status.current_scan,
        dtype=str,
        label="Current scan",
        doc="Number and name of the newest scan being saved; empty if there is none.",
    )
    LastFile = ShownAttribute(
        lambda shown: shown.status.last_file,
        dtype=str,
        label="Last file",
        doc="File of the newest finished scan. Survives Stop and a restart of the server.",
    )
    RunningScans = ShownAttribute(
        lambda shown: [scan_label(scan) for scan in shown.status.running],
        **_TEXTS,
        label="Running scans",
        doc="Number and name of every scan being saved, oldest first. StopScan takes these names.",
    )
    ScanProgress = ShownAttribute(
        lambda shown: [percent(scan) for scan in shown.status.running],
        dtype=(float,),
        max_dim_x=LONGEST_LIST,
        label="Progress",
        unit="%",
        format="%5.1f",
        doc="How much of each running scan is saved, in the order of RunningScans."
        " Not a number if the length of the scan is unknown.",
    )
    FinishedScans = ShownAttribute(
        lambda shown: [finished_line(report) for report in shown.status.finished],
        **_TEXTS,
        label="Finished scans",
        doc="What became of the newest finished scans, where they are, and their warnings;"
        " newest first.",
    )
    ScansSaved = ShownAttribute(
        lambda shown: shown.status.scans_saved,
        dtype=int,
        label="Scans saved",
        format="%d",
        doc="Scans saved completely since the server started or its settings changed.",
    )
    ScansFailed = ShownAttribute(
        lambda shown: shown.status.scans_failed,
        dtype=int,
        label="Scans failed",
        format="%d",
        doc="Scans not or not wholly saved since the server started or its settings changed.",
    )
    PointsSaved = ShownAttribute(
        lambda shown: shown.status.points_saved,
        dtype=int,
        label="Points saved",
        format="%d",
        doc="Points written, summed over channels and scans.",
    )
    PointsLost = ShownAttribute(
        lambda shown: shown.status.points_lost,
        dtype=int,
        label="Points lost",
        format="%d",
        doc="Points that Redis dropped before they could be read, summed over channels and scans.",
    )
    BytesSaved = ShownAttribute(
        lambda shown: shown.status.bytes_saved,
        dtype=int,
        label="Bytes saved",
        unit="B",
        format="%d",
        doc="Size of the points written, before compression.",
    )
    DataRate = ShownAttribute(
        lambda shown: shown.status.data_rate,
        dtype=float,
        label="Data rate",
        unit="MB/s",
        format="%8.2f",
        doc="Points written per second over the last seconds, before compression.",
    )
    Lag = ShownAttribute(
        lambda shown: shown.status.lag_s,
        dtype=float,
        label="Lag",
        unit="s",
        format="%7.2f",
        doc="Age of the oldest point that is not yet visible in its file.",
    )
    DiskFree = ShownAttribute(
        lambda shown: shown.status.disk_free_gb,
        dtype=float,
        label="Free disk space",
        unit="GB",
        format="%10.1f",
        doc="Free space where the last file is; not a number before the first scan.",
    )
    DiskTimeLeft = ShownAttribute(
        lambda shown: shown.status.disk_time_left_s,
        dtype=float,
        label="Disk full in",
        unit="s",
        format="%10.0f",
        min_warning="3600",
        min_alarm="600",
        doc="Seconds until the disk of the last file is full at the present data rate; infinite"
        " if nothing is written, not a number before the first scan. Warning below an hour, alarm"
        " below 10 minutes.",
    )
    SecondsToDataLoss = ShownAttribute(
        lambda shown: shown.status.seconds_to_data_loss,
        dtype=float,
        label="Data loss in",
        unit="s",
        format="%10.0f",
        min_warning="120",
        min_alarm="60",
        doc="Seconds, at the least, until Redis drops points that are not on disk; infinite if"
        " none can be lost. Warning below 120 s, alarm, and state ALARM, below 60 s.",
    )
    LastError = ShownAttribute(
        lambda shown: shown.status.last_error,
        dtype=str,
        label="Last error",
        doc="The newest error, with the scan, the channel and what to do.",
    )
    Warnings = ShownAttribute(
        lambda shown: warning_lines(shown.status),
        **_TEXTS,
        label="Warnings",
        doc="Why the state is ALARM, then the warnings of the running scans.",
    )
    Workers = ShownAttribute(
        lambda shown: shown.status.workers,
        dtype=int,
        label="Workers",
        format="%d",
        doc="Worker processes alive.",
        **_EXPERT,
    )
    WorkerRestarts = ShownAttribute(
        lambda shown: shown.status.worker_restarts,
        dtype=int,
        label="Worker restarts",
        format="%d",
        doc="Worker processes that died and were replaced.",
        **_EXPERT,
    )
    Session = ShownAttribute(
        lambda shown: shown.settings.session,
        dtype=str,
        label="Session",
        doc="BLISS session whose scans are saved.",
    )
    RedisUrl = ShownAttribute(
        lambda shown: shown_url(shown.settings.redis_url),
        dtype=str,
        label="Redis",
        doc="URL of the Redis in use, without password.",
        **_EXPERT,
    )
    Settings = ShownAttribute(
        lambda shown: settings_text(shown.settings),
        dtype=str,
        label="Settings",
        doc="The settings in effect, one per line. Properties edited since wait for Init.",
        **_EXPERT,
    )
    Version = ShownAttribute(
        lambda _: __version__,
        dtype=str,
        label="Version",
        doc="Version of tango_saver.",
        **_EXPERT,
    )

    def snapshot(self) -> Snapshot:
        """What the device shows now; from memory."""
        raise NotImplementedError

    def dev_state(self) -> DevState:
        """State as the saver sees it; the alarm levels of attributes have no part in it."""
        return self.shown_state(self.snapshot())

    def dev_status(self) -> str:
        """What is going on, and what to do."""
        return self.shown_status(self.snapshot())

    def shown_state(self, shown: Snapshot) -> DevState:
        """The Tango state for what the saver is doing."""
        return DevState.names[shown.status.state.value]

    def shown_status(self, shown: Snapshot) -> str:
        """The words for it."""
        return tango_text(shown.status.status)
