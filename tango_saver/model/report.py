"""What happened to a scan: while it is saved (progress), and once it is (report)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SavingState(StrEnum):
    """Where the saving of one scan stands."""

    WAITING = "WAITING"
    """Known, not yet prepared by BLISS."""
    SAVING = "SAVING"
    SAVED = "SAVED"
    """Closed; every point that Redis still had is on disk."""
    FAILED = "FAILED"
    """Closed; points of this scan are missing in the file for a reason of ours."""
    MOVED = "MOVED"
    """Another instance of a shared session goes on with it."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Points ``first`` to ``stop`` (excluded) that Redis dropped before we read them."""

    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """One channel, counted in points."""

    name: str
    published: int | None
    """As sealed by the publisher; None if it never sealed the stream."""
    received: int
    on_disk: int
    gaps: tuple[Gap, ...] = ()
    problem: str = ""
    """Why the channel is not (wholly) saved, empty if it is."""


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """One scan while it is saved."""

    key: str
    session: str
    name: str
    number: int
    state: SavingState
    target: str
    entries: tuple[str, ...] = ()
    points_saved: int = 0
    """Summed over the channels."""
    points_expected: int | None = None
    """Summed over the channels; None if the scan's length is unknown."""
    bytes_saved: int = 0
    """Of point values, before compression."""
    lag_s: float = 0.0
    """Age of the oldest point that was received and is not yet visible in the file."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """What the scan waits for and somebody should look at."""
    safe_until: float = 0.0
    """Everything that was published before this moment is on disk; on the monotonic clock of
    the machine, in steps of a few seconds. 0 if that can be said of no moment."""
    kept_s: float = float("inf")
    """How long Redis keeps a point by the length of its streams alone; see ``ScanReader``."""
    notice: str = ""
    """What is unusual, and no trouble so far."""
    started_at: float = 0.0
    """Seconds since the epoch when saving began."""
    checked: bool = True
    """The target was looked at and may be written."""


@dataclass(frozen=True, slots=True)
class ScanReport:
    """One scan after it was saved."""

    key: str
    session: str
    name: str
    number: int
    state: SavingState
    """SAVED, FAILED or MOVED."""
    target: str
    entries: tuple[str, ...]
    end_reason: str
    channels: tuple[ChannelReport, ...]
    bytes_saved: int
    started_at: float
    """Seconds since the epoch."""
    finished_at: float
    """Seconds since the epoch; the file is closed or flushed by then."""
    warnings: tuple[str, ...] = ()
    error: str = ""
    """Why it FAILED, with what to do, or who goes on; empty if SAVED."""
    refusal: str = ""
    """Name of the class in ``tango_saver.errors`` if the scan was refused before anything of it
    was written, else empty."""

    @property
    def points_saved(self) -> int:
        """Points on disk, summed over the channels."""
        return sum(channel.on_disk for channel in self.channels)
