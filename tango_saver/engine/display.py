"""What is shown: changed by commands at once and by the conductor's thread, told in order."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tango_saver.engine.ledger import Sums
from tango_saver.engine.wording import Situation, saver_state, status_text
from tango_saver.model.report import ScanProgress, ScanReport
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverStatus

_LOG = logging.getLogger(__name__)

_PERIOD_S = 0.4
"""Progress is told at most so often; changes of state always."""


@dataclass(frozen=True, slots=True)
class View:
    """What the conductor's thread knows, at one moment."""

    running: tuple[ScanProgress, ...] = ()
    finished: tuple[ScanReport, ...] = ()
    elsewhere: tuple[ScanProgress | ScanReport, ...] = ()
    sums: Sums = field(default_factory=Sums)
    last_file: str = ""
    last_error: str = ""
    alarms: tuple[str, ...] = ()
    fault: str = ""
    data_rate: float = 0.0
    disk_free_gb: float = float("nan")
    seconds_to_data_loss: float = float("inf")
    workers: int = 0
    worker_restarts: int = 0
    unfinished: int = 0
    listens: bool = False
    """New scans are heard of, or those that were created before Stop are looked for."""


class Display:
    """Composes the status; no method but ``wait_for`` waits for anything.

    Args:
        settings: for the words.
        publish: called by ``tell`` only.
    """

    def __init__(self, settings: SaverSettings, publish: Callable[[SaverStatus], None]) -> None:
        self._settings = settings
        self._publish = publish
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._view = View()
        self._listening = False
        self._stopping = False
        self._untold: deque[SaverStatus] = deque()
        self._told_at = 0.0
        self._told: SaverStatus | None = None
        self._status = self._compose()

    def status(self) -> SaverStatus:
        """The newest snapshot."""
        return self._status

    def wait_for(self, holds: Callable[[SaverStatus], object], timeout_s: float) -> bool:
        """Wait until the newest snapshot is as wanted; whether it is."""
        with self._changed:
            return bool(self._changed.wait_for(lambda: holds(self._status), timeout_s))

    def listen(self) -> None:
        """Start was given."""
        with self._lock:
            self._listening, self._stopping = True, False
            self._refresh()

    def stop(self) -> None:
        """Stop was given."""
        with self._lock:
            self._stopping = self._stopping or self._listening or bool(self._view.running)
            self._listening = False
            self._refresh()

    def show(self, view: View) -> None:
        """The conductor's thread knows something new."""
        with self._lock:
            self._view = view
            if not view.running and not view.listens:
                self._stopping = False
            self._refresh()

    def tell(self) -> None:
        """Publish what is due, every change of state in its order; the conductor's thread."""
        while True:
            with self._lock:
                if not self._untold:
                    break
                status = self._untold.popleft()
            self._send(status)
        now = time.monotonic()
        if self._status is not self._told and now - self._told_at >= _PERIOD_S:
            self._send(self._status)

    def _send(self, status: SaverStatus) -> None:
        self._told, self._told_at = status, time.monotonic()
        try:
            self._publish(status)
        except Exception:  # noqa: BLE001
            # Whoever is told must not stop the saving.
            _LOG.exception("Publishing the status failed")

    def _refresh(self) -> None:
        status = self._compose()
        if status == self._status:
            return
        if status.state is not self._status.state:
            self._untold.append(status)
        self._status = status
        self._changed.notify_all()

    def _compose(self) -> SaverStatus:
        view = self._view
        now = Situation(
            settings=self._settings,
            listening=self._listening,
            stopping=self._stopping,
            running=view.running,
            alarms=view.alarms,
            fault=view.fault,
            last_file=view.last_file,
            unfinished=view.unfinished,
        )
        newest = view.running[-1] if view.running else None
        return SaverStatus(
            state=saver_state(now),
            status=status_text(now),
            current_scan=f"{newest.number}_{newest.name}" if newest else "",
            last_file=view.last_file,
            last_error=view.last_error,
            alarms=view.alarms,
            running=view.running,
            finished=view.finished,
            elsewhere=view.elsewhere,
            scans_saved=view.sums.scans_saved,
            scans_failed=view.sums.scans_failed,
            points_saved=view.sums.points_saved,
            points_lost=view.sums.points_lost,
            bytes_saved=view.sums.bytes_saved,
            data_rate=view.data_rate,
            lag_s=max((scan.lag_s for scan in view.running), default=0.0),
            disk_free_gb=view.disk_free_gb,
            disk_time_left_s=_disk_time_left_s(view.disk_free_gb, view.data_rate),
            seconds_to_data_loss=view.seconds_to_data_loss,
            workers=view.workers,
            worker_restarts=view.worker_restarts,
        )


def _disk_time_left_s(free_gb: float, rate_mb_s: float) -> float:
    """Until a disk is full; the data rate is that before compression."""
    if rate_mb_s <= 0:
        return free_gb if math.isnan(free_gb) else math.inf
    return float(round(free_gb * 1e3 / rate_mb_s)) if math.isfinite(free_gb) else free_gb
