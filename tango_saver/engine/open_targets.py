"""The files that a worker holds open: shared by their scans, flushed in time, one use at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path

import gevent
from gevent.event import Event
from gevent.lock import RLock

from tango_saver.engine.lease import Lease, this_machine
from tango_saver.errors import ClaimLostError, SaverError, SinkError, TargetUnusableError
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.address_book import Place, noted_members
from tango_saver.sink.displacing import displace, may_be_open
from tango_saver.sink.file import TargetFile
from tango_saver.sink.journal import Journal
from tango_saver.sink.rescue import damage
from tango_saver.sink.stored_report import has_scan, is_whole
from tango_saver.sink.trouble import system_errno

_LOG = logging.getLogger(__name__)

_DUTY = 2.0
"""A flush is followed by a pause of at least so many times its own length."""
_TOGETHER_S = 0.03
"""Points that come so soon after the first one become visible with it."""
_REST = 0.5
"""Two flushes have at least so much of the period between them: portions that come once a period
are flushed right after they came."""


class OpenTarget:
    """One file; whoever uses it does so inside ``use``.

    Args:
        path: of the file.
        file: open.
        period_s: how long an appended point may stay invisible.
        lease: nothing is written while it does not hold.
    """

    def __init__(self, path: Path, file: TargetFile, period_s: float, lease: Lease) -> None:
        self.path = path
        self.file = file
        self.users = 0
        self.newest_rank = 0.0
        """Of the scans that were finished since the file was opened."""
        self._period_s = period_s
        self._lease = lease
        self._lock = RLock()
        self._listeners: list[Callable[[], None]] = []
        self._dirty = Event()
        self._dirty_since = 0.0
        self._flushed_at = time.monotonic()
        self._closed = False
        self._error: SinkError | None = None
        self._flusher = gevent.spawn(self._flush_in_time)

    @contextmanager
    def use(self) -> Iterator[TargetFile]:
        """The file, for this greenlet alone, once it may be written.

        Raises:
            ClaimLostError: another instance writes it.
            SinkError: what a flush in the background met.
        """
        while True:
            self._lease.wait(lambda: self._error)
            with self._lock:
                self.check()
                if self._lease.holds:
                    yield self.file
                    return

    @property
    def is_ours(self) -> bool:
        """Whether it may be written now, and so what lies beside it."""
        return self._lease.holds and not isinstance(self._error, ClaimLostError)

    def lose(self, error: ClaimLostError) -> None:
        """Write nothing more, not even by closing it."""
        self._closed, self._error = True, error
        self._flusher.kill(block=False)
        self.file.abandon(error.fact)

    def check(self) -> None:
        """Raise what a flush in the background met.

        Raises:
            SinkError: the file cannot be written any more.
        """
        if self._error is not None:
            raise type(self._error)(self._error.fact, advice=self._error.advice)

    def touch(self) -> None:
        """Points were appended; they become visible within the period."""
        if not self._dirty.is_set():
            self._dirty_since = time.monotonic()
            self._dirty.set()

    def after_flush(self, listener: Callable[[], None]) -> None:
        """Call this after each flush in the background, inside ``use``."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        """Do not call it any more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def flush(self) -> None:
        """Make everything visible now.

        Raises:
            SinkError: the file cannot be written any more.
        """
        with self.use() as file:
            self._dirty.clear()
            self._flushed_at = time.monotonic()
            try:
                file.flush()
                for listener in tuple(self._listeners):
                    listener()
            except SinkError as error:
                self._error = error
                raise

    def close(self) -> None:
        """Flush and close.

        Raises:
            SinkError: what was appended since the last flush may be missing.
        """
        with self._lock:
            self._closed = True
            self._flusher.kill(block=False)
            self._lease.wait(lambda: self._error)
            if not isinstance(self._error, ClaimLostError):
                self.file.close()

    def refuse(self) -> None:
        """Close, whatever there is to be written, and let nobody use it any more."""
        with self._lock:
            self._closed = True
            self._flusher.kill(block=False)
            try:
                if not self._lease.holds:
                    self.file.abandon("the server ends while its claims are not renewed")
                    return
                if self._error is None:
                    self.flush()
                self.file.close()
            finally:
                self._error = self._error or TargetUnusableError("the server ends")

    def _flush_in_time(self) -> None:
        pause = 0.0
        while self._error is None:
            self._dirty.wait()
            rested_at = self._flushed_at + _REST * self._period_s
            together_s = min(_TOGETHER_S, self._period_s)
            due = max(self._dirty_since + together_s, rested_at)
            gevent.sleep(max(due - time.monotonic(), pause, 0.0))
            self._lease.wait(lambda: self._closed)
            started = time.monotonic()
            try:
                with self._lock:
                    if self._closed:
                        return
                    if self._dirty.is_set():  # else somebody flushed meanwhile
                        self.flush()
            except SaverError as error:
                _LOG.error("flushing %s failed: %s", self.path, error)
            except Exception as error:  # noqa: BLE001 - every scan of the file meets it
                _LOG.exception("flushing %s failed", self.path)
                self._error = TargetUnusableError(
                    f"{self.path} cannot be flushed: {type(error).__name__}: {error}"
                )
            pause = _DUTY * (time.monotonic() - started)


class OpenTargets:
    """All files of the worker.

    Args:
        settings: flush period and how long an unused file stays open.
        executor: where chunks are deflated.
        on_close: called with the path of each file that is not held any more.
        lease: nothing is written while it does not hold; None if nobody else could write.
    """

    def __init__(
        self,
        settings: SaverSettings,
        executor: Executor,
        on_close: Callable[[str], None],
        lease: Lease | None = None,
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._on_close = on_close
        self.lease = lease or Lease(shared=False)
        self._lost: dict[Path, ClaimLostError] = {}
        self._secured: set[tuple[Path, int]] = set()
        self._open: dict[Path, OpenTarget] = {}
        self._opening = RLock()

    def acquire(self, path: Path) -> tuple[OpenTarget, str]:
        """The open file, to be released once.

        A file that has journals beside it was not closed in good order: if HDF5 cannot read it
        any more it is set aside, and what can be read of it copied into a new one.

        Args:
            path: of the file.

        Returns:
            the file, and what had to be done to open it, a sentence; empty if nothing.

        Raises:
            ClaimLostError: another instance writes it.
            TargetLockedError: another process holds it.
            TargetUnusableError: it cannot be opened.
        """
        with self._opening:
            self.check(path)
            target, rescue = self._open.get(path), ""
            if target is None:
                file, rescue = self._open_file(path)
                target = OpenTarget(path, file, self._settings.flush_period_s, self.lease)
                self._open[path] = target
            target.users += 1
            return target, rescue

    def check(self, path: Path) -> None:
        """Return once something may be done to a file, or to what lies beside it.

        Raises:
            ClaimLostError: another instance writes it.
        """
        self.lease.wait(lambda: path in self._lost)
        if path in self._lost:
            error = self._lost[path]
            raise ClaimLostError(error.fact, advice=error.advice)

    def lose(self, path: Path, error: ClaimLostError) -> None:
        """Another instance writes this file: it is left as it is, open or not."""
        self._lost[path] = error
        target = self._open.pop(path, None)
        if target is not None:
            target.lose(error)
            self._on_close(str(path))

    def regain(self, path: Path) -> None:
        """There is a new claim to a file that was lost."""
        self._lost.pop(path, None)

    def secure(self, path: Path, fence: int, machine: str) -> None:
        """Take a file away from the instance that had it before; once for each claim.

        Args:
            path: of the file.
            fence: number of our claim.
            machine: of that instance, which may still have the file open; empty if there is none.

        Raises:
            ClaimLostError: another instance writes it.
            TargetUnusableError: it cannot be taken away now.
        """
        self.check(path)
        if not machine or (path, fence) in self._secured:
            return
        with self._opening:
            self.check(path)
            held = path not in self._open and path.exists()
            if held and (machine != this_machine() or may_be_open(path)):
                _LOG.warning("%s is replaced by a copy of itself: it may be open elsewhere", path)
                self._executor.submit(displace, path).result()
            self._secured.add((path, fence))

    def find(self, path: Path) -> OpenTarget | None:
        """The open file, without a claim to it; None if it is not open here."""
        return self._open.get(path)

    def has_scan(self, path: Path, key: str) -> bool:
        """Whether a file that is not open for long has the whole of a scan."""
        target = self.find(path)
        if target is None:
            return has_scan(path, key)
        with target.use() as file:
            return any(is_whole(file.report_of(name), key) for name in file.entry_names())

    def _open_file(self, path: Path) -> tuple[TargetFile, str]:
        interrupted = Journal.find(path) if path.exists() else []
        noted = noted_members(path) if interrupted else {}
        problem = damage(path, _entries(interrupted), noted) if interrupted else ""
        if not problem:
            try:
                return TargetFile.open(path, executor=self._executor), ""
            except TargetUnusableError as error:
                cause = error.__cause__
                if not interrupted or cause is None or system_errno(cause):
                    raise
                problem = error.fact
        return self._rescue(path, problem, noted)

    def _rescue(
        self, path: Path, problem: str, noted: Mapping[str, Place]
    ) -> tuple[TargetFile, str]:
        """Set a damaged file aside, and begin a new one with what can be read of it."""
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
        _LOG.error("%s is damaged (%s), it becomes %s", path, problem, aside.name)
        try:
            path.rename(aside)
        except OSError as error:
            raise TargetUnusableError(
                f"{path} is damaged and cannot be set aside: {error.strerror}"
            ) from error
        file = TargetFile.open(path, executor=self._executor)
        salvaged = file.salvage(aside, noted)
        kept = ", ".join(salvaged.kept) or "nothing"
        lost = f"; could not be read: {', '.join(salvaged.lost)}" if salvaged.lost else ""
        return file, (
            f"{path} was damaged by a crash ({problem}); it was set aside as {aside.name}, and "
            f"copied from it was {kept}{lost}"
        )

    def release(self, target: OpenTarget) -> None:
        """One user less; the last one closes it, now or after the idle time.

        Raises:
            SinkError: closing it failed; it is not held any more all the same.
        """
        target.users -= 1
        if target.users:
            return
        if self._settings.file_idle_s:
            gevent.spawn_later(self._settings.file_idle_s, self._close_idle, target)
        else:
            self._close(target)

    def _close_idle(self, target: OpenTarget) -> None:
        if not target.users and self._open.get(target.path) is target:
            try:
                self._close(target)
            except SinkError as error:
                _LOG.error("closing %s failed: %s", target.path, error)

    def _close(self, target: OpenTarget) -> None:
        with self._opening:
            if target.users:
                return
            present = self._open.get(target.path) is target
            if present:
                del self._open[target.path]
            try:
                target.close()
            finally:
                if present:
                    self._on_close(str(target.path))

    def refuse_all(self) -> None:
        """Flush and close everything; whoever still wants to write is refused."""
        for target in tuple(self._open.values()):
            try:
                target.refuse()
            except SinkError as error:
                _LOG.error("closing %s failed: %s", target.path, error)


def _entries(journals: Iterable[Path]) -> frozenset[str]:
    """Names of the entries that were being written."""
    names: set[str] = set()
    for path in journals:
        with suppress(SinkError):
            names.update(Journal.load(path).entries)
    return frozenset(names)
