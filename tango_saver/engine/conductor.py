"""Conducts the saving: listens, hands scans to workers, and tells how it goes.

One thread does all the work, one event after the other, and waits for nothing else than the
next event: Redis, file systems and workers are waited for by threads of their own. Commands
change what is wanted and what is shown, and return.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from tango_saver.engine import events
from tango_saver.engine.checks import check_settings
from tango_saver.engine.choice import Choice
from tango_saver.engine.desk import Desk
from tango_saver.engine.display import Display
from tango_saver.engine.listener import Listener
from tango_saver.engine.memory import Memory, MemoryFile, MemoryKeeper
from tango_saver.errors import ConfigurationError, SaverError, UnknownScanError
from tango_saver.model.scan import ScanKey
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverStatus
from tango_saver.source.factory import open_source

_LOG = logging.getLogger(__name__)

_TICK_BUSY_S = 0.2
_TICK_IDLE_S = 1.0
_LONG_LOOK_S = 0.02
_LOOK_SHARE = 4
"""A look at all scans that takes more CPU time, because there are thousands, is followed by a
pause of so many times that before the next."""


class Conductor:
    """The saver of one session.

    All methods may be called from every thread. None but ``wait_for`` and ``shutdown`` waits
    for anything.

    Args:
        settings: hold until the end of this conductor.
        publish: called from one thread with every change of state in its order, and with
            progress about twice a second.

    Raises:
        ConfigurationError: a setting cannot be used; the message names it.
    """

    def __init__(self, settings: SaverSettings, publish: Callable[[SaverStatus], None]) -> None:
        check_settings(settings)
        self._settings = settings
        self._events: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        self._display = Display(settings, publish)
        self._commands = threading.Lock()
        self._listener: Listener | None = None
        self._asked: set[str] = set()
        self._closed = False
        self._all_finished = True
        self._show_at = 0.0
        file = MemoryFile(settings)
        memory = self._recall(file)
        keeper = MemoryKeeper(file, lambda text: self._events.put(events.MemoryTrouble(text)))
        self._since = memory.last_entry if memory.listening else ""
        self._desk = Desk(settings, memory, keeper, self._events.put)
        self._display.show(self._desk.view())
        self._thread = threading.Thread(target=self._run, name="conductor", daemon=True)
        self._thread.start()

    def start(self) -> None:
        """Listen for scans; every scan created from now on is taken. Returns at once.

        If the last server ended or died while it listened, those created since then are too.
        """
        with self._commands:
            if self._listener is None and not self._closed:
                self._listener = Listener(self._settings, self._events.put, self._since)
                self._since = ""
                self._events.put(events.ListeningBegan(self._listener))
                self._display.listen()

    def stop(self) -> None:
        """Take no scan that is created from now on; finish the others. Returns at once."""
        self._stop(by_user=True)

    def _stop(self, *, by_user: bool) -> None:
        with self._commands:
            if self._listener is not None:
                self._listener.stop(for_good=by_user)
                self._listener = None
            self._events.put(events.ListeningEnded(by_user))
            if by_user:
                self._since = ""
            self._display.stop()

    def save_scan(self, key: str) -> None:
        """Save a scan that is in Redis, listening or not. Returns at once.

        Nothing happens if it is being saved already. What goes wrong shows as a failed report.
        """
        with self._commands:
            if self._closed or key in self._asked or self._find(key):
                return
            self._asked.add(key)
        threading.Thread(target=self._describe, args=(key,), name="save scan", daemon=True).start()

    def stop_scan(self, key: str) -> None:
        """End the saving of a scan now; what was published so far is in its file.

        Args:
            key: of the scan, or its number and name, ``12_ascan``.

        Raises:
            UnknownScanError: no such scan is being saved.
        """
        found = self._find(key)
        if not found:
            running = ", ".join(
                f"{scan.number}_{scan.name}" for scan in self._display.status().running
            )
            raise UnknownScanError(
                f"no scan {key!r} is being saved",
                advice=f"Being saved: {running}" if running else "No scan is being saved now",
            )
        self._events.put(events.EndAsked(found))

    def reset(self) -> None:
        """Somebody has seen the errors: what is over is forgotten. Returns at once."""
        self._events.put(events.ResetAsked())

    def status(self) -> SaverStatus:
        """The newest snapshot, from memory."""
        return self._display.status()

    def wait_for(self, holds: Callable[[SaverStatus], object], timeout_s: float) -> bool:
        """Wait until a snapshot is as wanted, at most so long.

        Args:
            holds: called with the lock of the snapshots held; takes no time.
            timeout_s: longest wait.

        Returns:
            whether the newest snapshot is as wanted.
        """
        return self._display.wait_for(holds, timeout_s)

    def is_asked(self, key: str) -> bool:
        """Whether ``save_scan`` was called with this key and the scan is still looked up."""
        return key in self._asked

    def choose(self, choice: Choice) -> None:
        """Of the scans that are heard of from now on, save these; nothing else changes."""
        self._desk.choose(choice)

    def shutdown(self, timeout_s: float) -> bool:
        """Listen no more, wait until running scans are finished, then end the workers.

        Scans that are not finished in time are flushed and closed; the next saver of this
        session goes on with them, and with listening unless Stop was given.

        Args:
            timeout_s: how long running scans may take; a few seconds more pass until the
                workers have left.

        Returns:
            whether all scans were finished; the same at every later call.
        """
        self._stop(by_user=False)
        with self._commands:
            self._closed = True
        self._events.put(events.ShutdownAsked(time.monotonic() + timeout_s))
        self._thread.join()
        return self._all_finished

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        deadline: float | None = None
        while True:
            for event in self._next_events():
                if isinstance(event, events.ShutdownAsked):
                    deadline = min(event.deadline, deadline or event.deadline)
                else:
                    self._handle(event)
            self._desk.tick()
            if not self._busy or time.monotonic() >= self._show_at:
                self._show()
            if deadline is not None and (not self._busy or time.monotonic() >= deadline):
                break
        self._desk.dismiss_workers()
        while not self._events.empty():
            self._handle(self._events.get())
        self._all_finished = self._desk.close()
        self._show()

    @property
    def _busy(self) -> bool:
        return self._desk.busy or bool(self._asked)

    def _next_events(self) -> list[events.Event]:
        """All that is there, once there is something or it is time to look around."""
        found: list[events.Event] = []
        try:
            found.append(self._events.get(timeout=_TICK_BUSY_S if self._busy else _TICK_IDLE_S))
            while True:
                found.append(self._events.get_nowait())
        except queue.Empty:
            return found

    def _handle(self, event: events.Event) -> None:
        self._display.tell()  # changes of state are not kept back by what follows
        try:
            self._desk.handle(event)
        except Exception:  # noqa: BLE001
            # One event that cannot be dealt with must not end all saving.
            _LOG.exception("Dealing with %s failed", type(event).__name__)
        if isinstance(event, events.Described | events.Undescribed):
            with self._commands:
                self._asked.discard(event.key)

    def _show(self) -> None:
        begun_s = time.thread_time()
        self._display.show(self._desk.view())
        self._display.tell()
        took_s = time.thread_time() - begun_s
        self._show_at = time.monotonic() + (_LOOK_SHARE * took_s if took_s > _LONG_LOOK_S else 0.0)

    # ------------------------------------------------------------------ helpers

    def _find(self, key: str) -> str:
        """The key of a running scan, given by key or label; empty if there is none."""
        for scan in self._display.status().running:
            if key in (scan.key, f"{scan.number}_{scan.name}"):
                return scan.key
        return key if key in self._asked else ""

    def _describe(self, key: str) -> None:
        """Look a scan up; runs in a thread, Redis may be slow."""
        try:
            source = open_source(self._settings)
            try:
                description = source.describe(ScanKey(key))
            finally:
                source.close()
        except SaverError as error:
            error.scan = error.scan or key
            self._events.put(events.Undescribed(key, error))
        except Exception as error:  # noqa: BLE001 - a defect shows as a failed report
            _LOG.exception("Looking up scan %s failed", key)
            defect = SaverError(f"{type(error).__name__}: {error}", scan=key)
            self._events.put(events.Undescribed(key, defect))
        else:
            self._events.put(events.Described(key, description))

    def _recall(self, file: MemoryFile) -> Memory:
        try:
            return file.load()
        except ConfigurationError as error:
            self._events.put(events.MemoryTrouble(str(error)))
            return Memory(self._settings.session, self._settings.redis_url)
