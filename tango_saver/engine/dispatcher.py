"""Gives scans to workers, and again when a worker dies, without letting one scan kill all."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from tango_saver.engine.ledger import RunningScan
from tango_saver.engine.messages import EndScan, SaveScan
from tango_saver.engine.pool import WorkerPool
from tango_saver.errors import EngineError, SaverError, WorkerDiedError

_LOG = logging.getLogger(__name__)

_DEATHS = 3
"""A scan that alone is to blame for the death of so many workers is given up."""
_SHARED_DEATHS = 10
"""So is one that was among those to blame so often."""
_TRIAL_S = 1.0
"""A suspected scan that has been saved for so long is not what kills its worker."""


def order_for(scan: RunningScan) -> SaveScan:
    """What a worker is told about a scan, and what survives the server."""
    progress = scan.progress
    return SaveScan(
        key=scan.key,
        session=progress.session,
        name=progress.name,
        number=progress.number,
        target=scan.target,
        attempt=scan.attempt,
        started_at=progress.started_at,
        lost=tuple(scan.lost),
        warnings=progress.warnings,
        fence=scan.fence,
        displaced=scan.displaced,
    )


class Dispatcher:
    """Owns the way of a scan to a worker.

    When a worker dies, its scans are given to another at once. If they die again, they come
    back one by one, so that the death of a worker points at one scan.

    Args:
        pool: the workers.
        give_up: called with a scan that is not saved any further.
    """

    def __init__(
        self, pool: WorkerPool, give_up: Callable[[RunningScan, SaverError], None]
    ) -> None:
        self._pool = pool
        self._give_up = give_up
        self._suspects: deque[RunningScan] = deque()
        self._on_trial: RunningScan | None = None

    def dispatch(self, scan: RunningScan) -> None:
        """Give a scan to the worker of its target."""
        try:
            worker = self._pool.worker_for(scan.target)
        except EngineError as error:
            self._give_up(scan, error)
            return
        scan.worker = worker
        scan.given_at = time.monotonic()
        worker.scans.add(scan.key)
        worker.outbox.put(order_for(scan))
        if scan.ending:
            worker.outbox.put(EndScan(scan.key))

    def end(self, scan: RunningScan) -> None:
        """Have what there is of a scan finished now."""
        scan.ending = True
        if scan.worker is not None:
            scan.worker.outbox.put(EndScan(scan.key))

    def ended(self, scan: RunningScan) -> None:
        """The scan is reported."""
        if scan.worker is not None:
            scan.worker.scans.discard(scan.key)
        if scan is self._on_trial:
            self._next_trial()

    def worker_left(self, scans: list[RunningScan]) -> None:
        """Give the scans of a worker that is gone through no fault of theirs to another."""
        for scan in scans:
            scan.worker = None
            scan.attempt += 1
            self.dispatch(scan)
        self._next_trial_after(scans)

    def worker_died(self, scans: list[RunningScan], error: WorkerDiedError) -> None:
        """Blame, give up or give again the scans of a worker that is gone."""
        _LOG.error("%s; %d scans go on in another one", error, len(scans))
        for scan in scans:
            _LOG.error("scan %s: %s", scan.key, error.fact)
        blamed = [self._on_trial] if self._on_trial in scans else scans
        self._on_trial = None if self._on_trial in scans else self._on_trial
        again = []
        for scan in scans:
            scan.worker = None
            scan.attempt += 1
            if scan in blamed:
                scan.deaths += 1
                scan.convictions += len(blamed) == 1
            if scan in blamed and (scan.convictions >= _DEATHS or scan.deaths >= _SHARED_DEATHS):
                self._give_up(
                    scan,
                    WorkerDiedError(
                        f"{scan.deaths} worker processes died while they saved it; last: "
                        f"{error.fact}",
                        scan=scan.key,
                        advice="Look into the log of the server; the other scans go on",
                    ),
                )
            elif scan in blamed and len(scans) > 1 and scan.deaths > 1:
                self._suspects.append(scan)
            else:
                again.append(scan)
        for scan in again:
            self.dispatch(scan)
        if self._on_trial is None:
            self._next_trial()

    def tick(self) -> None:
        """Let the next suspect in when the present one has proved harmless; call regularly."""
        trial = self._on_trial
        if trial is not None and time.monotonic() - trial.given_at > _TRIAL_S:
            self._next_trial()

    def _next_trial_after(self, scans: list[RunningScan]) -> None:
        if self._on_trial in scans:
            self._next_trial()

    def _next_trial(self) -> None:
        self._on_trial = None
        while self._suspects and self._on_trial is None:
            scan = self._suspects.popleft()
            self._on_trial = scan
            self.dispatch(scan)
            if scan.worker is None:  # given up meanwhile
                self._on_trial = None
