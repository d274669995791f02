"""What threatens the scans that are being saved: a disk that fills, points that Redis drops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from tango_saver.engine.alarms import Alarms
from tango_saver.engine.inspection import DiskSeen
from tango_saver.engine.ledger import RunningScan
from tango_saver.engine.loss_forecast import LossForecast, LossWatch
from tango_saver.engine.redis_watch import MemorySeen
from tango_saver.engine.wording import (
    disk_trouble,
    file_system_trouble,
    loss_trouble,
    running_trouble,
)
from tango_saver.model.settings import SaverSettings

_PATIENCE_S = 5.0
"""A file system that has not answered for so long is spoken of."""


class Outlook:
    """Keeps the alarms that come from running scans up to date.

    Args:
        settings: thresholds.
        alarms: why somebody should look.
        post: takes ``MemorySeen`` from a thread, to be given to ``memory_seen``.
    """

    def __init__(
        self, settings: SaverSettings, alarms: Alarms, post: Callable[[MemorySeen], None]
    ) -> None:
        self._settings = settings
        self._alarms = alarms
        self._loss_watch = LossWatch(settings, post)
        self.disk_free_gb = float("nan")
        """Where the newest target lies; NaN if it is not known."""

    def look(self, scans: Sequence[RunningScan]) -> LossForecast:
        """Judge all running scans; to be called regularly."""
        self._alarms.set("running", running_trouble([scan.progress for scan in scans]))
        self._alarms.set("file system", file_system_trouble(_unanswered(scans)))
        loss = self._loss_watch.forecast(scan.at_risk for scan in scans)
        self._alarms.set("loss", loss_trouble(loss))
        return loss

    def disk_seen(self, event: DiskSeen) -> None:
        """A file system has told its free space."""
        self.disk_free_gb = event.free_gb
        self._alarms.set("disk", disk_trouble(event.target, event.free_gb, self._settings))

    def memory_seen(self, event: MemorySeen) -> None:
        """Redis has told its memory."""
        self._loss_watch.saw(event)

    def close(self) -> None:
        """Watch no more; returns at once."""
        self._loss_watch.close()


def _unanswered(scans: Iterable[RunningScan]) -> list[str]:
    """Targets that a file system should have said something about by now."""
    long_ago = time.time() - _PATIENCE_S
    return [
        scan.target for scan in scans if scan.worker is None and scan.progress.started_at < long_ago
    ]
