"""What the conductor's thread does with each event; nothing here waits for anything."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import singledispatchmethod

from tango_saver.engine import events
from tango_saver.engine.alarms import Alarms
from tango_saver.engine.awaited_links import AwaitedLinks
from tango_saver.engine.choice import Choice
from tango_saver.engine.dispatcher import Dispatcher, order_for
from tango_saver.engine.display import View
from tango_saver.engine.inspection import DiskSeen, Inspected, Inspector
from tango_saver.engine.ledger import Ledger, RunningScan, refusal
from tango_saver.engine.listener import Deaf, Heard, Listener, Silent
from tango_saver.engine.loss_forecast import LossWatch
from tango_saver.engine.memory import Memory, MemoryKeeper
from tango_saver.engine.messages import LinkScan, LostPoints, SaveScan
from tango_saver.engine.pool import WorkerPool
from tango_saver.engine.recollection import Recollection
from tango_saver.engine.redis_watch import MemorySeen
from tango_saver.engine.sharing import Hands, Sharing
from tango_saver.engine.wording import (
    disk_trouble,
    file_system_trouble,
    listening_trouble,
    loss_trouble,
    postponed_trouble,
    report_alarms,
    running_trouble,
)
from tango_saver.engine.worker_news import WorkerNews
from tango_saver.errors import (
    DiskFullError,
    EngineError,
    ProtocolVersionError,
    SaverError,
    TargetForbiddenError,
    TargetPathError,
)
from tango_saver.model.report import SavingState, ScanProgress, ScanReport
from tango_saver.model.scan import ScanAnnouncement
from tango_saver.model.settings import SaverSettings

_LOG = logging.getLogger(__name__)

_PATIENCE_S = 5.0
"""A file system that has not answered for so long is spoken of."""
_LOOK_AGAIN_S = 5.0
"""Between two looks at a target that could not be written."""


class Desk:
    """Everything that only the conductor's thread touches.

    Args:
        settings: checked.
        memory: from the last run.
        keeper: takes what the next run will want.
        post: brings an event to the conductor's thread, callable from every thread.
    """

    def __init__(
        self,
        settings: SaverSettings,
        memory: Memory,
        keeper: MemoryKeeper,
        post: Callable[[events.Event], None],
    ) -> None:
        self._settings = settings
        self.choice = Choice(frozenset(settings.data_writers))
        """Which scans are saved of those that are heard of."""
        self._recollection = Recollection(settings, memory, keeper)
        self._ledger = Ledger(memory.finished)
        self._ledger.last_file = memory.last_file
        self._last_error = ""
        self._alarms = Alarms()
        self._fault = ""
        self._deaf_since = ""
        self._listener: Listener | None = None
        self._draining: set[Listener] = set()
        self._inspector = Inspector(settings, post)
        self._disk_free_gb = float("nan")
        self._loss_watch = LossWatch(settings, post)
        self._pool = WorkerPool(
            settings,
            on_news=lambda worker, news: post(events.NewsCame(worker, news)),
            on_gone=lambda worker, error: post(events.WorkerGone(worker, error)),
            on_spare=lambda: post(events.SpareStarted()),
        )
        self._restarts = 0
        self._dispatcher = Dispatcher(self._pool, self._fail)
        self._links = AwaitedLinks(self._pool, memory.links)
        self._postponed: dict[str, SaveScan] = {}
        """Refused for a target that could not be written; saved when it can be."""
        self._look_again_at = 0.0
        self._worker_news = WorkerNews(
            self._ledger, self._pool, self._links, self._alarms, self._finish, self.remember
        )
        self._unfinished = 0
        self._leaving = False
        self._sharing = Sharing(
            settings,
            self._ledger,
            self._pool,
            Hands(
                dispatch=self._dispatcher.dispatch,
                recover=self._recover,
                finish=self._finish,
                alarm=lambda sentence: self._alarms.set("claims", sentence),
                takes=self._takes_over,
            ),
            lambda news: post(events.ClaimsChanged(news)),
        )
        for order in memory.running:
            self._recover(order)

    # ------------------------------------------------------------------ what is shown

    def view(self) -> View:
        """All that is to be shown now."""
        running = tuple(scan.progress for scan in self._ledger.running.values())
        self._watch_running(running)
        loss = self._loss_watch.forecast(scan.at_risk for scan in self._ledger.running.values())
        self._alarms.set("loss", loss_trouble(loss))
        sums = self._ledger.sums()
        return View(
            running=running,
            finished=tuple(self._ledger.finished),
            elsewhere=self._sharing.elsewhere,
            sums=sums,
            last_file=self._ledger.last_file,
            last_error=self._last_error,
            alarms=self._alarms.sentences(),
            fault=self._fault,
            data_rate=self._ledger.data_rate(time.monotonic(), sums.bytes_saved),
            disk_free_gb=self._disk_free_gb,
            seconds_to_data_loss=loss.seconds,
            workers=len(self._pool),
            worker_restarts=self._restarts,
            unfinished=self._unfinished,
            listens=bool(self._listener or self._draining),
        )

    @property
    def busy(self) -> bool:
        """Scans are being saved, or looked for after Stop."""
        return bool(self._ledger.running or self._draining)

    def tick(self) -> None:
        """To be called regularly."""
        self._dispatcher.tick()
        if self._leaving:
            return
        self._links.tick(self._sharing.permits)
        self._sharing.tick(self._pool.owns)
        self._alarms.set("links", self._links.sentence)
        targets = [order.target for order in self._postponed.values()]
        self._alarms.set("postponed", postponed_trouble(targets))
        if self._postponed and time.monotonic() > self._look_again_at:
            self._look_again_at = time.monotonic() + _LOOK_AGAIN_S
            for order in self._postponed.values():
                self._inspector.inspect(order.key, order.target)

    def _watch_running(self, running: tuple[ScanProgress, ...]) -> None:
        self._alarms.set("running", running_trouble(running))
        long_ago = time.time() - _PATIENCE_S
        waiting = [
            scan.target
            for scan in self._ledger.running.values()
            if scan.worker is None and scan.progress.started_at < long_ago
        ]
        self._alarms.set("file system", file_system_trouble(waiting))

    # ------------------------------------------------------------------ events

    @singledispatchmethod
    def handle(self, event: events.Event) -> None:
        """Do what one event asks for."""
        raise EngineError(f"nothing is known about {type(event).__name__}")

    @handle.register
    def _(self, event: events.ListeningBegan) -> None:
        self._listening_ended()
        self._listener = event.listener
        self._sharing.listens(goes_on=True)
        self._recollection.listens()
        self._keep_spare()

    @handle.register
    def _(self, event: events.ListeningEnded) -> None:
        self._sharing.listens(goes_on=False)
        self._recollection.stops(by_user=event.by_user)
        self._listening_ended()
        self._heard_all()

    def _listening_ended(self) -> None:
        if self._listener is not None:
            self._draining.add(self._listener)
            self._listener = None
        self._is_not_deaf()

    @handle.register
    def _(self, event: Silent) -> None:
        self._draining.discard(event.listener)
        self._heard_all()

    def _heard_all(self) -> None:
        if self._listener is None and not self._draining:
            self._recollection.is_silent()
            self.remember()

    @handle.register
    def _(self, event: Heard) -> None:
        if event.listener is self._listener:
            self._hears()
        self._recollection.hears(event.entry)
        for warning in event.warnings:
            _LOG.warning("%s", warning)
            self._last_error = warning
            self._alarms.keep(warning)
        for scan in event.scans:
            if self._wanted(scan):
                self._take(scan)
        self.remember()

    @handle.register
    def _(self, event: Deaf) -> None:
        if event.listener is not self._listener:
            return
        if not self._deaf_since:
            self._deaf_since = time.strftime("%H:%M:%S")
            _LOG.error("%s", event.error)
        sentence = listening_trouble(event.error, self._settings, self._deaf_since)
        foreign = isinstance(event.error, ProtocolVersionError)
        self._fault = sentence if foreign else ""
        self._alarms.set("redis", "" if foreign else sentence)
        self._last_error = str(event.error)

    def _hears(self) -> None:
        if self._deaf_since:
            _LOG.info("Listening for scans works again")
        self._is_not_deaf()

    def _is_not_deaf(self) -> None:
        self._deaf_since = self._fault = ""
        self._alarms.set("redis", "")

    @handle.register
    def _(self, event: events.Described) -> None:
        scan = event.description
        announcement = ScanAnnouncement(
            scan.key, "", scan.session, scan.name, scan.number, scan.saved, scan.writer, scan.target
        )
        self._take(announcement, again=True)

    @handle.register
    def _(self, event: events.Undescribed) -> None:
        if event.key not in self._ledger.running:
            waiting = SavingState.WAITING
            progress = ScanProgress(event.key, "", "", 0, waiting, "", started_at=time.time())
            self._fail(RunningScan(progress), event.error)

    @handle.register
    def _(self, event: Inspected) -> None:
        scan = self._ledger.running.get(event.key)
        if scan is None and event.error is None and event.key in self._postponed:
            scan = self._recover(self._postponed.pop(event.key), inspect=False)
        if scan is None or scan.worker is not None:
            return
        if event.error is not None:
            if isinstance(event.error, TargetForbiddenError | DiskFullError):
                self._postponed[scan.key] = order_for(scan)
            self._fail(scan, event.error)
            return
        scan.wanted = event.target
        scan.progress = replace(scan.progress, target=event.target, checked=True)
        self._inspector.watch(event.target)
        self._sharing.dispatch(scan)
        self._keep_spare()

    @handle.register
    def _(self, event: DiskSeen) -> None:
        self._disk_free_gb = event.free_gb
        self._alarms.set("disk", disk_trouble(event.target, event.free_gb, self._settings))

    @handle.register
    def _(self, event: MemorySeen) -> None:
        self._loss_watch.saw(event)

    @handle.register
    def _(self, event: events.NewsCame) -> None:
        self._worker_news.take(event.worker, event.news)
        if isinstance(event.news, LostPoints) and event.news.key in self._ledger.running:
            self._sharing.changed(self._ledger.running[event.news.key])

    @handle.register
    def _(self, event: events.ClaimsChanged) -> None:
        if not self._leaving:
            self._sharing.take(event.news)

    @handle.register
    def _(self, event: events.WorkerGone) -> None:
        self._pool.forget(event.worker)
        scans = [scan for scan in self._ledger.running.values() if scan.worker is event.worker]
        if self._leaving:
            return
        self._restarts += 1
        self._links.worker_gone(event.worker)
        if event.worker.leaving:
            self._dispatcher.worker_left(scans)
        else:
            self._last_error = str(event.error)
            self._dispatcher.worker_died(scans, event.error)
        self._keep_spare()

    @handle.register
    def _(self, event: events.SpareStarted) -> None:
        del event
        if not self._leaving:
            self._keep_spare()

    @handle.register
    def _(self, event: events.EndAsked) -> None:
        scan = self._ledger.running.get(event.key)
        if scan is not None:
            self._dispatcher.end(scan)

    @handle.register
    def _(self, event: events.ResetAsked) -> None:
        del event
        self._alarms.reset()
        self._last_error = ""
        self._keep_spare()

    @handle.register
    def _(self, event: events.MemoryTrouble) -> None:
        if event.sentence:
            _LOG.warning("%s", event.sentence)
        self._alarms.set("memory", event.sentence)

    # ------------------------------------------------------------------ scans

    def _wanted(self, scan: ScanAnnouncement) -> bool:
        return (
            self._settings.session in ("*", scan.session)
            and scan.saved
            and bool(scan.target)
            and self.choice.takes(scan.session, scan.writer)
        )

    def _takes_over(self, order: SaveScan) -> bool:
        """Whether a scan that another instance has left is for this one."""
        return (
            self._listener is not None
            and self._settings.session in ("*", order.session)
            and order.key not in self._postponed
        )

    def _take(self, announced: ScanAnnouncement, *, again: bool = False) -> None:
        if announced.key in self._ledger.running or self._leaving:
            return
        self._postponed.pop(announced.key, None)
        progress = ScanProgress(
            key=announced.key,
            session=announced.session,
            name=announced.name,
            number=announced.number,
            state=SavingState.WAITING,
            target=announced.target,
            started_at=time.time(),
            checked=False,
        )
        scan = RunningScan(progress, again=again)
        self._ledger.running[announced.key] = scan
        if not announced.target:
            error = TargetPathError(
                "BLISS has given it no file",
                scan=announced.key,
                advice="Only a scan made with SCAN_SAVING enabled has one",
            )
            self._fail(scan, error)
            return
        self._inspector.inspect(announced.key, announced.target)

    def _recover(self, order: SaveScan, *, inspect: bool = True) -> RunningScan:
        """Go on with a scan whose saving was interrupted, or could not begin."""
        _LOG.info("scan %s: its saving to %s goes on", order.key, order.target)
        progress = ScanProgress(
            key=order.key,
            session=order.session,
            name=order.name,
            number=order.number,
            state=SavingState.WAITING,
            target=order.target,
            warnings=order.warnings,
            started_at=order.started_at,
        )
        scan = RunningScan(progress, attempt=order.attempt + 1, lost=list(order.lost))
        self._ledger.running[order.key] = scan
        if inspect:
            self._inspector.inspect(order.key, order.target)
        return scan

    def _fail(self, scan: RunningScan, error: SaverError) -> None:
        """End a scan that no worker will report."""
        _LOG.error("scan %s is not saved: %s", scan.key, error)
        self._finish(scan, refusal(scan.progress, error))

    def _finish(self, scan: RunningScan, report: ScanReport) -> None:
        self._ledger.finish(report)
        self._sharing.finished(scan, report)
        self._dispatcher.ended(scan)
        moved = report.state is SavingState.MOVED
        if report.entries and report.target != scan.target and not moved:
            self._links.add(LinkScan(scan.key, scan.target, report.target, report.entries))
        for sentence in report_alarms(report):
            self._alarms.keep(sentence)
        if report.error:
            self._last_error = report.error
        self.remember()

    def remember(self) -> None:
        """Have what survives a restart written."""
        self._recollection.write(self._ledger, self._postponed.values(), self._links.orders)

    def _keep_spare(self) -> None:
        try:
            self._pool.keep_spare()
        except EngineError as error:
            _LOG.error("%s", error)
            self._alarms.set("workers", str(error))
        else:
            self._alarms.set("workers", "")

    def dismiss_workers(self) -> None:
        """Have all workers flush, close and leave, and wait for it; the one thing that waits."""
        self._leaving = True
        self._inspector.close()
        self._loss_watch.close()
        self._pool.leave()
        self._pool.end()

    def close(self) -> bool:
        """After the workers' last news; False if scans are left to a later start."""
        self._unfinished = len(self._ledger.running)
        for scan in self._ledger.running.values():
            _LOG.warning("scan %s is left unfinished", scan.key)
        self.remember()
        self._ledger.running.clear()
        self._listener = None
        self._draining.clear()
        self._sharing.close()
        self._recollection.close()
        return not self._unfinished
