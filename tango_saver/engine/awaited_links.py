"""Scans that went beside their target and are linked into it when it is free, however late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tango_saver.engine.messages import LinkScan, ScanLinked
from tango_saver.engine.pool import Worker, WorkerPool
from tango_saver.errors import EngineError

_RETRY_S = 2.0


@dataclass(eq=False)
class _Awaited:
    order: LinkScan
    worker: Worker | None = None
    """That has the order now."""
    due_at: float = 0.0
    reason: str = ""
    """Why it could not be made so far."""


class AwaitedLinks:
    """Each link is ordered again until it is made.

    Args:
        pool: the workers; the one that owns the target makes the link.
        wanted: from the last run.
    """

    def __init__(self, pool: WorkerPool, wanted: Iterable[LinkScan]) -> None:
        self._pool = pool
        self._awaited = {order.key: _Awaited(order) for order in wanted}

    @property
    def orders(self) -> tuple[LinkScan, ...]:
        """What is still to be done."""
        return tuple(awaited.order for awaited in self._awaited.values())

    @property
    def sentence(self) -> str:
        """What is waited for, empty if there is nothing."""
        reasons = [awaited.reason for awaited in self._awaited.values() if awaited.reason]
        if not reasons:
            return ""
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return reasons[0] + more

    def add(self, order: LinkScan) -> None:
        """A scan was saved beside its target."""
        self._awaited[order.key] = _Awaited(order)

    def uses(self, worker: Worker, target: str) -> bool:
        """Whether the worker is about to make a link in this file."""
        return any(
            awaited.worker is worker and awaited.order.target == target
            for awaited in self._awaited.values()
        )

    def tick(self, permits: Callable[[str], bool]) -> None:
        """Give out what is due; to be called regularly.

        Args:
            permits: whether a target may be written now.
        """
        now = time.monotonic()
        for awaited in self._awaited.values():
            if awaited.worker is not None or now < awaited.due_at:
                continue
            if permits(awaited.order.target):
                awaited.due_at = now + _RETRY_S
                try:
                    worker = self._pool.worker_for(awaited.order.target)
                except EngineError:
                    continue
                awaited.worker = worker
                worker.outbox.put(awaited.order)

    def done(self, news: ScanLinked) -> None:
        """A worker has tried."""
        awaited = self._awaited.get(news.key)
        if awaited is None:
            return
        awaited.worker = None
        if news.again:
            awaited.reason = (
                f"{Path(awaited.order.file).name} is to be linked into {awaited.order.target}: "
                f"{news.problem}"
            )
        else:
            del self._awaited[news.key]

    def worker_gone(self, worker: Worker) -> None:
        """The process has ended."""
        for awaited in self._awaited.values():
            if awaited.worker is worker:
                awaited.worker = None
