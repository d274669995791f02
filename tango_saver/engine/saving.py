"""The work of one worker process: orders come in, scans are saved, news go out."""

from __future__ import annotations

import logging
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import gevent
from gevent.event import Event
from gevent.socket import wait_read

from tango_saver.engine.allocation import give_back_memory
from tango_saver.engine.cooperative import CooperativeExecutor
from tango_saver.engine.forwarding import forward_logging
from tango_saver.engine.late_link import link_scan
from tango_saver.engine.lease import Lease
from tango_saver.engine.messages import (
    Configure,
    EndScan,
    Exhausted,
    Leave,
    LinkScan,
    LoseTarget,
    News,
    Order,
    ProgressMade,
    RenewLease,
    SaveScan,
    ScanEnded,
    TargetClosed,
    decode_order,
)
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.outbox import Outbox
from tango_saver.engine.persistence import Bench, PersistentScan
from tango_saver.engine.shared_links import SharedLinks
from tango_saver.errors import ClaimLostError, EngineError
from tango_saver.model.report import ScanProgress
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.file import unclosed

_LOG = logging.getLogger(__name__)

_PROGRESS_S = 0.4
_PROGRESS_SHARE = 10
"""Telling of thousands of scans pauses so many times longer than it took."""
_FAREWELL_S = 1.0
"""Longest wait for the last news to be taken."""
_MOST_THREADS = 8


class SavingProcess:
    """One worker, from its first order to its last.

    Args:
        connection: to the conductor; its end is the end of the worker.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outbox = Outbox(connection, "news")
        self._writers: dict[str, PersistentScan] = {}
        self._told: dict[str, ScanProgress] = {}
        self._leaving = False
        self._leave = Event()

    def run(self) -> None:
        """Work until told to leave, or until the conductor is gone."""
        forward_logging(self._tell)
        gevent.signal_handler(signal.SIGTERM, self._leave.set)
        settings = self._first_order()
        if settings is None:
            return
        threads = max(2, min(_MOST_THREADS, os.cpu_count() or 1))
        self._settings = settings
        self._targets = OpenTargets(
            settings,
            CooperativeExecutor(threads),
            # Behind the report of the scan that closed it: a target with a running scan is kept.
            lambda path: gevent.spawn(self._tell, TargetClosed(path)),
            Lease(shared=settings.shared_session),
        )
        self._bench = Bench(
            settings,
            self._targets,
            SharedLinks(settings, self._targets),
            self._tell,
            self._ends,
        )
        gevent.spawn(self._take_orders)
        gevent.spawn(self._tell_progress)
        self._leave.wait()
        # Every file gets what was received; whoever still writes is refused, and forgotten.
        self._leaving = True
        self._targets.refuse_all()
        self._outbox.close(_FAREWELL_S)

    def _tell(self, news: News) -> None:
        self._outbox.put(news)

    def _next_order(self) -> Order | None:
        try:
            wait_read(self._connection.fileno())
            return decode_order(self._connection.recv_bytes())
        except (EOFError, OSError):
            return None  # the conductor is gone

    def _first_order(self) -> SaverSettings | None:
        order = self._next_order()
        if order is None or isinstance(order, Leave):
            return None
        if not isinstance(order, Configure):
            raise EngineError(f"the first order of a worker is {type(order).__name__}")
        return order.settings

    def _take_orders(self) -> None:
        while True:
            order = self._next_order()
            match order:
                case SaveScan():
                    gevent.spawn(self._save, order)
                case LinkScan():
                    gevent.spawn(self._link, order)
                case EndScan():
                    writer = self._writers.get(order.key)
                    if writer is not None:
                        writer.end()
                case RenewLease(until):
                    self._targets.lease.renew(until)
                case LoseTarget():
                    self._lose(order)
                case _:
                    self._leave.set()
                    return

    def _save(self, order: SaveScan) -> None:
        while order.key in self._writers:
            if not self._writers[order.key].lost:
                return
            gevent.sleep(_PROGRESS_S)  # it was lost, and is ours again
        self._targets.regain(Path(order.target))
        writer = PersistentScan(order, self._bench)
        self._writers[order.key] = writer
        report = writer.run()
        del self._writers[order.key]
        self._told.pop(order.key, None)
        if not self._leaving and not writer.lost:
            self._tell(ScanEnded(report))

    def _lose(self, order: LoseTarget) -> None:
        error = ClaimLostError(
            f"{order.name} has taken {order.target} over", advice="It goes on there"
        )
        self._targets.lose(Path(order.target), error)
        for writer in tuple(self._writers.values()):
            if writer.order.target == order.target and writer.order.fence <= order.fence:
                writer.lose(error)

    def _link(self, order: LinkScan) -> None:
        self._tell(link_scan(order, self._targets, self._ends))

    def _ends(self) -> bool:
        self._look_for_broken_files()
        return self._leaving

    def _look_for_broken_files(self) -> None:
        """HDF5 keeps the state of a file that it could not close until the process ends."""
        reason = unclosed()
        if reason and not self._leaving:
            self._leaving = True
            self._tell(Exhausted(reason))
            self._leave.set()

    def _tell_progress(self) -> None:
        was_busy, took_s = False, 0.0
        while True:
            gevent.sleep(max(_PROGRESS_S, _PROGRESS_SHARE * took_s))
            begun = time.monotonic()
            self._look_for_broken_files()
            if was_busy and not self._writers:
                give_back_memory()
            was_busy = bool(self._writers)
            changed = []
            for key, writer in self._writers.items():
                progress = writer.progress()
                if progress is not None and progress != self._told.get(key):
                    self._told[key] = progress
                    changed.append(progress)
            if changed:
                self._tell(ProgressMade(tuple(changed)))
            took_s = time.monotonic() - begun
