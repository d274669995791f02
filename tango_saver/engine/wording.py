"""The state and the words for it, from what is known at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from tango_saver.engine.loss_forecast import LossForecast
from tango_saver.errors import ProtocolVersionError, RedisUnreachableError, SaverError
from tango_saver.model.report import SavingState, ScanProgress, ScanReport
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState

_SHOWN = 4
"""Scans or alarms that are spelt out; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the state and its words depend on."""

    settings: SaverSettings
    listening: bool = False
    stopping: bool = False
    """Stop was given, and something is still to be finished."""
    running: tuple[ScanProgress, ...] = ()
    alarms: tuple[str, ...] = ()
    """Sentences; why somebody should look."""
    fault: str = ""
    """A sentence; why nothing works until somebody acts."""
    last_file: str = ""
    unfinished: int = 0
    """Scans that were left to a later start when the server was told to end."""


def saver_state(now: Situation) -> SaverState:
    """The one Tango state that fits best.

    A stopped saver is OFF whatever happened before: who stops it waits for that.
    """
    if not now.listening:
        if now.stopping:
            return SaverState.MOVING
        return SaverState.RUNNING if now.running else SaverState.OFF
    if now.fault:
        return SaverState.FAULT
    if now.alarms:
        return SaverState.ALARM
    return SaverState.RUNNING if now.running else SaverState.ON


def status_text(now: Situation) -> str:
    """What is going on, and what to do."""
    parts = []
    if now.fault and now.listening:
        parts.append(now.fault)
    parts.append(_activity(now))
    if now.alarms:
        parts.append(f"Look at: {_listed(now.alarms, '; ')}. Reset when it is dealt with.")
    if now.unfinished:
        parts.append(
            f"{_scans(now.unfinished)} not finished in time; what was saved is in the file, "
            "and the journal beside it says how far."
        )
    return "\n".join(parts)


def _activity(now: Situation) -> str:
    session = "all sessions" if now.settings.session == "*" else f"session {now.settings.session}"
    if now.stopping:
        if now.running:
            return (
                f"Stopping: no new scan is taken, {_scans(len(now.running))} being finished: "
                f"{_progress(now.running)}."
            )
        return "Stopping: no new scan is taken."
    if now.running:
        lead = f"Saving {_scans(len(now.running))} of {session}: {_progress(now.running)}."
        return lead if now.listening else f"{lead} Not listening. Start to listen to {session}."
    if now.listening:
        last = f" Last file: {now.last_file}." if now.last_file else ""
        return f"Listening to {session}. No scan is running.{last}"
    return f"Stopped. Start to listen to {session}."


def _progress(running: Sequence[ScanProgress]) -> str:
    return _listed([_one(scan) for scan in running], "; ")


def _one(scan: ScanProgress) -> str:
    label = f"{scan.number}_{scan.name}"
    if scan.state is SavingState.WAITING:
        return f"{label} {scan.notice or 'waits until BLISS has prepared it'}"
    expected = "" if scan.points_expected is None else f" of {scan.points_expected}"
    notice = f" ({scan.notice})" if scan.notice else ""
    return f"{label} {scan.points_saved}{expected} points -> {scan.target}{notice}"


def _listed(texts: Sequence[str], separator: str) -> str:
    shown = separator.join(text.rstrip(".") for text in texts[:_SHOWN])
    more = len(texts) - _SHOWN
    return f"{shown}{separator}and {more} more" if more > 0 else shown


def _scans(number: int) -> str:
    return "1 scan" if number == 1 else f"{number} scans"


def shown_url(url: str) -> str:
    """A Redis URL without its password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def listening_trouble(error: SaverError, settings: SaverSettings, since: str) -> str:
    """Why no scan can be heard of, and what to do."""
    where = f"Redis at {shown_url(settings.redis_url)}"
    if isinstance(error, RedisUnreachableError):
        return (
            f"{where} does not answer since {since}: {error.fact}. "
            "Scans go on being saved when it is back; check the server and redis_url"
        )
    if isinstance(error, ProtocolVersionError):
        return f"{where} cannot be used: {error}. It is tried again until it can"
    return f"{where}: no scan can be heard of since {since}: {error}"


def running_trouble(running: Sequence[ScanProgress]) -> str:
    """What running scans wait for, in one sentence; empty if for nothing."""
    troubled = [scan for scan in running if scan.error]
    if not troubled:
        return ""
    others = f" (and {len(troubled) - 1} more scans)" if len(troubled) > 1 else ""
    return f"{troubled[0].number}_{troubled[0].name}{others}: {troubled[0].error}"


def loss_trouble(loss: LossForecast) -> str:
    """Points that Redis may soon drop before they are saved; empty if there is time enough."""
    if not loss.urgent:
        return ""
    when = f"in {loss.seconds:.0f} s" if loss.seconds else "at any moment"
    return (
        f"{loss.label} may lose points {when}: what was published in the last "
        f"{loss.behind_s:.0f} s is not on disk, and Redis drops its oldest points. Find what holds "
        "the saving up, or give Redis more memory (maxmemory)"
    )


def file_system_trouble(targets: Sequence[str]) -> str:
    """Scans that wait for a file system to answer; empty if there are none."""
    if not targets:
        return ""
    return (
        f"the file system of {targets[0]} does not answer; {_scans(len(targets))} waiting for it. "
        "Check that it is mounted"
    )


def postponed_trouble(targets: Sequence[str]) -> str:
    """Scans that were refused and are saved later; empty if there are none."""
    if not targets:
        return ""
    verb = "waits" if len(targets) == 1 else "wait"
    return f"{_scans(len(targets))} {verb} until {targets[0]} can be written"


def disk_trouble(target: str, free_gb: float, settings: SaverSettings) -> str:
    """A disk that fills; empty if there is room enough, or it is not known."""
    if not free_gb < settings.disk_warning_gb:
        return ""
    return (
        f"only {free_gb:.2f} GB are free where {target} lies. Make room, or set disk_warning "
        f"below {settings.disk_warning_gb:g} GB"
    )


def report_alarms(report: ScanReport) -> list[str]:
    """What of a report somebody has to look at, empty if all is well."""
    label = f"{report.number}_{report.name}"
    if report.state is SavingState.FAILED:
        return [f"{label} of session {report.session} is not (wholly) saved: {report.error}"]
    if report.state is SavingState.MOVED:
        return [f"{label} of session {report.session}: {report.error}"]
    lost = points_lost(report)
    if lost:
        return [
            (
                f"{label} of session {report.session} lost {lost} points in {report.target}: "
                "Redis had dropped them before they could be read"
            )
        ]
    return []


def points_lost(report: ScanReport) -> int:
    """Points that were in Redis once and are not in the file, summed over the channels."""
    return sum(gap.stop - gap.first for channel in report.channels for gap in channel.gaps)
