"""Replaces workers: a spare is always warm, and the scans of one that is gone go to another."""

from __future__ import annotations

import logging

from tango_saver.engine.alarms import Alarms
from tango_saver.engine.awaited_links import AwaitedLinks
from tango_saver.engine.dispatcher import Dispatcher
from tango_saver.engine.events import WorkerGone
from tango_saver.engine.ledger import Ledger
from tango_saver.engine.pool import WorkerPool
from tango_saver.errors import EngineError

_LOG = logging.getLogger(__name__)


class Replacements:
    """Keeps the number of workers, whatever becomes of one of them.

    Args:
        pool: the workers.
        ledger: the scans.
        dispatcher: gives scans to workers.
        links: that are awaited.
        alarms: why somebody should look.
    """

    def __init__(
        self,
        pool: WorkerPool,
        ledger: Ledger,
        dispatcher: Dispatcher,
        links: AwaitedLinks,
        alarms: Alarms,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._links = links
        self._alarms = alarms
        self.restarts = 0
        """Workers that have ended while the saver works on."""

    def keep_spare(self) -> None:
        """Have a spare worker started if there is none; returns at once."""
        try:
            self._pool.keep_spare()
        except EngineError as error:
            _LOG.error("%s", error)
            self._alarms.set("workers", str(error))
        else:
            self._alarms.set("workers", "")

    def gone(self, event: WorkerGone) -> None:
        """A worker has ended; its scans go on in another one."""
        self.restarts += 1
        scans = [scan for scan in self._ledger.running.values() if scan.worker is event.worker]
        self._links.worker_gone(event.worker)
        if event.worker.leaving:
            self._dispatcher.worker_left(scans)
        else:
            self._alarms.last_error = str(event.error)
            self._dispatcher.worker_died(scans, event.error)
        self.keep_spare()
