"""What the conductor's thread makes of each message from a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import singledispatchmethod

from tango_saver.engine.alarms import Alarms
from tango_saver.engine.awaited_links import AwaitedLinks
from tango_saver.engine.forwarding import log_forwarded
from tango_saver.engine.ledger import Ledger, RunningScan
from tango_saver.engine.messages import (
    Exhausted,
    LogLine,
    LostPoints,
    News,
    ProgressMade,
    ScanEnded,
    ScanLinked,
    TargetClosed,
)
from tango_saver.engine.pool import Worker, WorkerPool
from tango_saver.errors import EngineError
from tango_saver.model.report import ScanReport

_LOG = logging.getLogger(__name__)


class WorkerNews:
    """Takes news; what an earlier worker of a scan still has to say of it does not count.

    Args:
        ledger: the scans.
        pool: the workers.
        links: that are awaited.
        alarms: why somebody should look.
        finish: called with a scan that has ended, and its report.
        remember: called when what survives a restart has changed.
    """

    def __init__(
        self,
        ledger: Ledger,
        pool: WorkerPool,
        links: AwaitedLinks,
        alarms: Alarms,
        finish: Callable[[RunningScan, ScanReport], None],
        remember: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._links = links
        self._alarms = alarms
        self._finish = finish
        self._remember = remember

    def take(self, worker: Worker, news: News) -> None:
        """Deal with one message."""
        self._take(news, worker)

    @singledispatchmethod
    def _take(self, news: News, worker: Worker) -> None:
        raise EngineError(f"worker {worker.number} sent a {type(news).__name__}")

    @_take.register
    def _(self, news: LogLine, worker: Worker) -> None:
        log_forwarded(news, worker.number)

    @_take.register
    def _(self, news: ProgressMade, worker: Worker) -> None:
        for progress in news.scans:
            scan = self._scan_of(worker, progress.key)
            if scan is not None:
                scan.progress = progress
                scan.safe_until = max(scan.safe_until, progress.safe_until)

    @_take.register
    def _(self, news: LostPoints, worker: Worker) -> None:
        scan = self._scan_of(worker, news.key)
        if scan is not None:
            scan.lost.append(news)
            self._remember()

    @_take.register
    def _(self, news: ScanEnded, worker: Worker) -> None:
        scan = self._scan_of(worker, news.report.key)
        if scan is None:
            return
        self._finish(scan, news.report)
        if news.report.target != scan.target:
            self._release(worker, scan.target)  # it went elsewhere: nothing of it was open

    @_take.register
    def _(self, news: TargetClosed, worker: Worker) -> None:
        self._release(worker, news.target)

    @_take.register
    def _(self, news: ScanLinked, worker: Worker) -> None:
        self._links.done(news)
        if news.problem and not news.again:
            _LOG.error("scan %s is not linked: %s", news.key, news.problem)
            self._alarms.keep(f"a scan is not linked into its file: {news.problem}")
        self._release(worker, news.target)
        self._remember()

    @_take.register
    def _(self, news: Exhausted, worker: Worker) -> None:
        _LOG.warning("worker %d is replaced: %s", worker.number, news.reason)
        worker.leaving = True

    def _scan_of(self, worker: Worker, key: str) -> RunningScan | None:
        scan = self._ledger.running.get(key)
        return scan if scan is not None and scan.worker is worker else None

    def _release(self, worker: Worker, target: str) -> None:
        """The worker has closed a target; unless more of it is on its way there."""
        still_used = self._links.uses(worker, target) or any(
            scan.worker is worker and scan.target == target
            for scan in self._ledger.running.values()
        )
        self._pool.release(worker, target, still_used=still_used)
