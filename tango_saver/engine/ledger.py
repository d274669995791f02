"""The scans of a saver: those that are being saved, those that are done, and the sums."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace

from tango_saver.engine.loss_forecast import ScanAtRisk
from tango_saver.engine.messages import LostPoints
from tango_saver.engine.pool import Worker
from tango_saver.engine.wording import points_lost
from tango_saver.errors import SaverError
from tango_saver.model.report import SavingState, ScanProgress, ScanReport

_REMEMBERED = 256
"""Reports that are kept."""
_RATE_S = 2.0
"""The data rate is the mean over so long."""


@dataclass(eq=False)
class RunningScan:
    """One scan from its announcement to its report; owned by the conductor's thread."""

    progress: ScanProgress
    wanted: str = ""
    """The checked path of the target; where the scan really goes is in its progress."""
    worker: Worker | None = None
    """None while it waits for a worker."""
    deaths: int = 0
    """How many workers died for which this scan may be to blame."""
    convictions: int = 0
    """For how many of them no other scan can be."""
    attempt: int = 0
    ending: bool = False
    """StopScan was given."""
    lost: list[LostPoints] = field(default_factory=list)
    safe_until: float = field(default_factory=time.monotonic)
    """Everything published before is on disk, or was published before the scan was taken."""
    fence: int = 0
    """Number of the claim to the target; 0 without one."""
    displaced: str = ""
    """Machine of an instance that had the target before and may still have it open."""
    again: bool = False
    """It was asked for, saved already or not."""
    given_at: float = 0.0
    """On the monotonic clock, when the present worker got it."""

    @property
    def key(self) -> str:
        """The scan's key."""
        return self.progress.key

    @property
    def at_risk(self) -> ScanAtRisk:
        """How far its saving is behind."""
        label = f"{self.progress.number}_{self.progress.name}"
        return ScanAtRisk(label, self.safe_until, self.progress.kept_s)

    @property
    def target(self) -> str:
        """The checked path, once it is; all scans with the same one have the same worker."""
        return self.wanted or self.progress.target


def refusal(progress: ScanProgress, error: SaverError) -> ScanReport:
    """The report of a scan that no worker will report."""
    return ScanReport(
        key=progress.key,
        session=progress.session,
        name=progress.name,
        number=progress.number,
        state=SavingState.FAILED,
        target=progress.target,
        entries=progress.entries,
        end_reason="",
        channels=(),
        bytes_saved=progress.bytes_saved,
        started_at=progress.started_at,
        finished_at=time.time(),
        warnings=progress.warnings,
        error=str(error),
        refusal=type(error).__name__,
    )


@dataclass(frozen=True, slots=True)
class Sums:
    """Since the start of the server."""

    scans_saved: int = 0
    scans_failed: int = 0
    points_saved: int = 0
    points_lost: int = 0
    bytes_saved: int = 0


class Ledger:
    """Keeps the books."""

    def __init__(self, finished: tuple[ScanReport, ...] = ()) -> None:
        self.running: dict[str, RunningScan] = {}
        """Oldest first."""
        self.finished: deque[ScanReport] = deque(finished, maxlen=_REMEMBERED)
        """Newest first."""
        self.last_file = ""
        self._sums = Sums()
        self._samples: deque[tuple[float, int]] = deque()

    def finish(self, report: ScanReport) -> None:
        """A scan is done; it does not run any more."""
        self.running.pop(report.key, None)
        self.finished.appendleft(report)
        failed = report.state is SavingState.FAILED
        sums = self._sums
        self._sums = Sums(
            scans_saved=sums.scans_saved + (report.state is SavingState.SAVED),
            scans_failed=sums.scans_failed + failed,
            points_saved=sums.points_saved + report.points_saved,
            points_lost=sums.points_lost + points_lost(report),
            bytes_saved=sums.bytes_saved + report.bytes_saved,
        )
        if report.entries:
            self.last_file = report.target

    def sums(self) -> Sums:
        """The sums, running scans included."""
        progress = [scan.progress for scan in self.running.values()]
        return replace(
            self._sums,
            points_saved=self._sums.points_saved + sum(scan.points_saved for scan in progress),
            bytes_saved=self._sums.bytes_saved + sum(scan.bytes_saved for scan in progress),
        )

    def data_rate(self, now: float, bytes_saved: int) -> float:
        """MB/s over the last two seconds; to be asked regularly.

        Args:
            now: seconds on the monotonic clock.
            bytes_saved: the present sum.
        """
        self._samples.append((now, bytes_saved))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_S:  # noqa: PLR2004 - two make a slope
            self._samples.popleft()
        then, before = self._samples[0]
        return max(0.0, (bytes_saved - before) / 1e6 / (now - then)) if now > then else 0.0
