"""What the conductor's thread does with each event; nothing here waits for anything."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import singledispatchmethod

from tango_saver.engine import events
from tango_saver.engine.admission import Admission
from tango_saver.engine.alarms import Alarms
from tango_saver.engine.awaited_links import AwaitedLinks
from tango_saver.engine.choice import Choice
from tango_saver.engine.dispatcher import Dispatcher
from tango_saver.engine.display import View
from tango_saver.engine.hearing import Hearing
from tango_saver.engine.inspection import DiskSeen, Inspected, Inspector
from tango_saver.engine.ledger import Ledger, RunningScan, refusal
from tango_saver.engine.listener import Deaf, Heard, Silent
from tango_saver.engine.memory import Memory, MemoryKeeper
from tango_saver.engine.messages import LinkScan, LostPoints, SaveScan
from tango_saver.engine.outlook import Outlook
from tango_saver.engine.pool import WorkerPool
from tango_saver.engine.recollection import Recollection
from tango_saver.engine.redis_watch import MemorySeen
from tango_saver.engine.replacements import Replacements
from tango_saver.engine.sharing import Hands, Sharing
from tango_saver.engine.wording import postponed_trouble, report_alarms
from tango_saver.engine.worker_news import WorkerNews
from tango_saver.errors import EngineError, SaverError
from tango_saver.model.report import SavingState, ScanProgress, ScanReport
from tango_saver.model.scan import ScanAnnouncement
from tango_saver.model.settings import SaverSettings

_LOG = logging.getLogger(__name__)


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
        self._alarms = Alarms()
        self._recollection = Recollection(settings, memory, keeper)
        self._ledger = Ledger(memory.finished)
        self._ledger.last_file = memory.last_file
        self._hearing = Hearing(settings, self._alarms)
        self._outlook = Outlook(settings, self._alarms, post)
        self._inspector = Inspector(settings, post)
        self._admission = Admission(
            settings, self._ledger, self._inspector, admit=self._admit, refuse=self._fail
        )
        self._pool = WorkerPool(
            settings,
            on_news=lambda worker, news: post(events.NewsCame(worker, news)),
            on_gone=lambda worker, error: post(events.WorkerGone(worker, error)),
            on_spare=lambda: post(events.SpareStarted()),
        )
        self._dispatcher = Dispatcher(self._pool, self._fail)
        self._links = AwaitedLinks(self._pool, memory.links)
        self._replacements = Replacements(
            self._pool, self._ledger, self._dispatcher, self._links, self._alarms
        )
        self._worker_news = WorkerNews(
            self._ledger, self._pool, self._links, self._alarms, self._finish, self.remember
        )
        self._unfinished = 0
        self._leaving = False
        self._has_news = False
        """What survives a restart has changed since it was written."""
        self._sharing = Sharing(
            settings,
            self._ledger,
            self._pool,
            Hands(
                dispatch=self._dispatcher.dispatch,
                recover=self._admission.recover,
                finish=self._finish,
                alarm=lambda sentence: self._alarms.set("claims", sentence),
                takes=self._takes_over,
            ),
            lambda news: post(events.ClaimsChanged(news)),
        )
        for order in memory.running:
            self._admission.recover(order)

    def choose(self, choice: Choice) -> None:
        """Of the scans that are heard of from now on, save these; callable from every thread."""
        self._admission.choice = choice

    # ------------------------------------------------------------------ what is shown

    def view(self) -> View:
        """All that is to be shown now."""
        scans = tuple(self._ledger.running.values())
        loss = self._outlook.look(scans)
        sums = self._ledger.sums()
        return View(
            running=tuple(scan.progress for scan in scans),
            finished=tuple(self._ledger.finished),
            elsewhere=self._sharing.elsewhere,
            sums=sums,
            last_file=self._ledger.last_file,
            last_error=self._alarms.last_error,
            alarms=self._alarms.sentences(),
            fault=self._hearing.fault,
            data_rate=self._ledger.data_rate(time.monotonic(), sums.bytes_saved),
            disk_free_gb=self._outlook.disk_free_gb,
            seconds_to_data_loss=loss.seconds,
            workers=len(self._pool),
            worker_restarts=self._replacements.restarts,
            unfinished=self._unfinished,
            listens=not self._hearing.silent,
        )

    @property
    def busy(self) -> bool:
        """Scans are being saved, or looked for after Stop."""
        return bool(self._ledger.running) or self._hearing.draining

    def tick(self) -> None:
        """To be called regularly."""
        self._write_down()
        self._dispatcher.tick()
        if self._leaving:
            return
        self._links.tick(self._sharing.permits)
        self._sharing.tick(self._pool.owns)
        self._alarms.set("links", self._links.sentence)
        targets = [order.target for order in self._admission.postponed]
        self._alarms.set("postponed", postponed_trouble(targets))
        self._admission.tick()

    # ------------------------------------------------------------------ events

    @singledispatchmethod
    def handle(self, event: events.Event) -> None:
        """Do what one event asks for."""
        raise EngineError(f"nothing is known about {type(event).__name__}")

    @handle.register
    def _(self, event: events.ListeningBegan) -> None:
        self._hearing.begins(event.listener)
        self._sharing.listens(goes_on=True)
        self._recollection.listens()
        self._replacements.keep_spare()

    @handle.register
    def _(self, event: events.ListeningEnded) -> None:
        self._sharing.listens(goes_on=False)
        self._recollection.stops(by_user=event.by_user)
        self._hearing.ends()
        self._heard_all()

    @handle.register
    def _(self, event: Silent) -> None:
        self._hearing.drained(event)
        self._heard_all()

    def _heard_all(self) -> None:
        if self._hearing.silent:
            self._recollection.is_silent()
            self.remember()

    @handle.register
    def _(self, event: Heard) -> None:
        self._hearing.hears(event)
        self._recollection.hears(event.entry)
        for warning in event.warnings:
            _LOG.warning("%s", warning)
            self._alarms.last_error = warning
            self._alarms.keep(warning)
        for scan in event.scans:
            if self._admission.wants(scan):
                self._take(scan)
        self.remember()

    @handle.register
    def _(self, event: Deaf) -> None:
        self._hearing.is_deaf(event)

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
        self._admission.inspected(event)

    @handle.register
    def _(self, event: DiskSeen) -> None:
        self._outlook.disk_seen(event)

    @handle.register
    def _(self, event: MemorySeen) -> None:
        self._outlook.memory_seen(event)

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
        if not self._leaving:
            self._replacements.gone(event)

    @handle.register
    def _(self, event: events.SpareStarted) -> None:
        del event
        if not self._leaving:
            self._replacements.keep_spare()

    @handle.register
    def _(self, event: events.EndAsked) -> None:
        scan = self._ledger.running.get(event.key)
        if scan is not None:
            self._dispatcher.end(scan)

    @handle.register
    def _(self, event: events.ResetAsked) -> None:
        del event
        self._alarms.reset()
        self._replacements.keep_spare()

    @handle.register
    def _(self, event: events.MemoryTrouble) -> None:
        if event.sentence:
            _LOG.warning("%s", event.sentence)
        self._alarms.set("memory", event.sentence)

    # ------------------------------------------------------------------ scans

    def _takes_over(self, order: SaveScan) -> bool:
        """Whether a scan that another instance has left is for this one."""
        return self._hearing.listening and self._admission.takes_over(order)

    def _take(self, announced: ScanAnnouncement, *, again: bool = False) -> None:
        if not self._leaving:
            self._admission.take(announced, again=again)

    def _admit(self, scan: RunningScan) -> None:
        """A scan whose target can be written."""
        self._sharing.dispatch(scan)
        self._replacements.keep_spare()

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
            self._alarms.last_error = report.error
        self.remember()

    def remember(self) -> None:
        """Have what survives a restart written at the next tick: once for many events."""
        self._has_news = True

    def _write_down(self) -> None:
        if self._has_news:
            self._has_news = False
            self._recollection.write(self._ledger, self._admission.postponed, self._links.orders)

    def dismiss_workers(self) -> None:
        """Have all workers flush, close and leave, and wait for it; the one thing that waits."""
        self._leaving = True
        self._inspector.close()
        self._outlook.close()
        self._pool.leave()
        self._pool.end()

    def close(self) -> bool:
        """After the workers' last news; False if scans are left to a later start."""
        self._unfinished = len(self._ledger.running)
        for scan in self._ledger.running.values():
            _LOG.warning("scan %s is left unfinished", scan.key)
        self.remember()
        self._write_down()
        self._ledger.running.clear()
        self._hearing.close()
        self._sharing.close()
        self._recollection.close()
        return not self._unfinished
