"""The worker processes as the conductor sees them: started, chosen, fed, replaced."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.forkserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Protocol

from tango_saver.engine import worker as worker_process
from tango_saver.engine.messages import Configure, Leave, News, Order, decode_news
from tango_saver.engine.outbox import Outbox
from tango_saver.errors import EngineError, WorkerDiedError
from tango_saver.model.settings import SaverSettings

_LOG = logging.getLogger(__name__)
_CONTEXT = multiprocessing.get_context("forkserver")
_LEAVE_S = 3.0
"""Beyond its deadline a worker that does not leave is killed."""
_FORK_AGAIN_S = (0.05, 0.5)
"""Pauses before a worker is asked for once more, if the fork server died."""


class _Process(Protocol):
    """The part of a multiprocessing process that is used here."""

    @property
    def pid(self) -> int | None: ...
    @property
    def exitcode(self) -> int | None: ...
    def start(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def kill(self) -> None: ...


@contextlib.contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Keep multiprocessing from importing the main program into every worker.

    It would load Tango, pytest or whatever else the program is made of, and run a script
    that has no ``__name__`` guard a second time.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


_starting = threading.Lock()


def warm_up() -> None:
    """Start the fork server, which loads what all workers need; returns before it has.

    To be called early in a program that will have many threads or a Tango server in it.
    """
    with _starting, _main_module_hidden():
        _CONTEXT.set_forkserver_preload(["tango_saver.engine.preload"])
        multiprocessing.forkserver.ensure_running()


@dataclass(eq=False)
class Worker:
    """One worker process."""

    number: int
    process: _Process
    connection: Connection
    outbox: Outbox
    scans: set[str] = field(default_factory=set)
    """Keys of the scans that it was given and has not ended."""
    leaving: bool = False
    listening: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid or 0


class WorkerPool:
    """Chooses the worker of each target; all methods are for one thread.

    Args:
        settings: handed to each worker.
        on_news: called from a thread per worker with each message.
        on_gone: called from that thread, last, when the process has ended.
        on_spare: called from a thread when a spare worker was started, or could not be;
            ``keep_spare`` is to be called then.
    """

    def __init__(
        self,
        settings: SaverSettings,
        on_news: Callable[[Worker, News], None],
        on_gone: Callable[[Worker, WorkerDiedError], None],
        on_spare: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._on_news = on_news
        self._on_gone = on_gone
        self._on_spare = on_spare
        self._spare: Future[Worker] | None = None
        """On its way: starting a process takes a tenth of a second on a busy machine."""
        self._workers: list[Worker] = []
        self._owners: dict[str, Worker] = {}
        self._started = 0

    def __len__(self) -> int:
        return len(self._workers)

    def processes(self) -> tuple[int, ...]:
        """Process ids of the workers alive."""
        return tuple(worker.pid for worker in self._workers)

    def worker_for(self, target: str) -> Worker:
        """The worker that owns the target, or the one that will.

        Raises:
            EngineError: no process can be started.
        """
        owner = self._owners.get(target)
        if owner is None or owner.leaving:
            owner = self._owners[target] = self._choose()
        return owner

    def _choose(self) -> Worker:
        owners = set(map(id, self._owners.values()))
        staying = [worker for worker in self._workers if not worker.leaving]
        free = [worker for worker in staying if id(worker) not in owners]
        if free:
            return free[0]
        if self._spare is not None:
            return self._adopt(self._spare)
        if len(staying) < self._settings.workers:
            return self._employ(self._start())
        return min(staying, key=lambda worker: len(worker.scans))

    def keep_spare(self) -> None:
        """Have one worker more than is busy, within the limit; returns at once.

        Raises:
            EngineError: no process could be started.
        """
        if self._spare is not None:
            if not self._spare.done():
                return
            self._adopt(self._spare)
        busy = {id(worker) for worker in self._owners.values()}
        if len(busy) == len(self._workers) < self._settings.workers:
            self._spare = Future()
            threading.Thread(
                target=self._start_spare, args=(self._spare,), name="spare worker", daemon=True
            ).start()

    def release(self, worker: Worker, target: str, *, still_used: bool) -> None:
        """The worker has closed the target; unless scans of it are on their way to it."""
        if not still_used and self._owners.get(target) is worker:
            del self._owners[target]

    def forget(self, worker: Worker) -> None:
        """The process has ended; its targets are free."""
        if worker in self._workers:
            self._workers.remove(worker)
        self._owners = {
            target: owner for target, owner in self._owners.items() if owner is not worker
        }

    def owns(self, target: str) -> bool:
        """Whether a worker has the target, or is about to."""
        return target in self._owners

    def tell_all(self, order: Order) -> None:
        """Tell every worker."""
        for worker in self._workers:
            worker.outbox.put(order)

    @property
    def any_alive(self) -> bool:
        """Whether a process has not ended yet."""
        return any(worker.process.exitcode is None for worker in self._workers)

    def leave(self) -> None:
        """Tell all workers to flush, close and exit."""
        if self._spare is not None:
            with contextlib.suppress(EngineError):
                self._adopt(self._spare)
        for worker in self._workers:
            worker.leaving = True
            worker.outbox.put(Leave())

    def end(self) -> None:
        """Wait for the workers that leave; kill those that do not."""
        deadline = time.monotonic() + _LEAVE_S
        for worker in self._workers:
            if worker.listening is not None:
                worker.listening.join(max(0.0, deadline - time.monotonic()))
                if worker.listening.is_alive():
                    worker.process.kill()
                    worker.listening.join(_LEAVE_S)

    def _start_spare(self, spare: Future[Worker]) -> None:
        try:
            spare.set_result(self._start())
        except Exception as error:  # noqa: BLE001 - raised where the worker is wanted
            spare.set_exception(error)
        self._on_spare()

    def _adopt(self, spare: Future[Worker]) -> Worker:
        """The spare worker, waited for."""
        self._spare = None
        return self._employ(spare.result())

    def _employ(self, worker: Worker) -> Worker:
        self._workers.append(worker)
        worker.listening = threading.Thread(
            target=self._listen, args=(worker,), name=f"from worker {worker.number}", daemon=True
        )
        worker.listening.start()
        return worker

    def _start(self) -> Worker:
        """A new process; the one method that may be called from another thread."""
        ours, theirs = _CONTEXT.Pipe(duplex=True)
        self._started += 1
        try:
            process = _forked(theirs, f"tango_saver worker {self._started}")
        except (OSError, EOFError) as error:
            ours.close()
            raise EngineError(
                f"no worker process can be started: {error}",
                advice="Check the limits on processes, memory and open files",
            ) from error
        finally:
            theirs.close()
        worker = Worker(self._started, process, ours, Outbox(ours, f"to worker {self._started}"))
        worker.outbox.put(Configure(self._settings))
        return worker

    def _listen(self, worker: Worker) -> None:
        """Hand on what the worker says until its pipe ends, which is when it dies."""
        reason = ""
        try:
            while True:
                self._on_news(worker, decode_news(worker.connection.recv_bytes()))
        except (EOFError, OSError):
            pass  # the end of the pipe is the end of the process
        except EngineError as error:
            reason = f" ({error.fact})"
        worker.process.join(_LEAVE_S)
        if worker.process.exitcode is None:
            worker.process.kill()
            worker.process.join(_LEAVE_S)
        worker.outbox.close(_LEAVE_S)
        worker.connection.close()
        self._on_gone(
            worker,
            WorkerDiedError(
                f"worker process {worker.pid} ended with code {worker.process.exitcode}{reason}"
            ),
        )


def _forked(connection: Connection, name: str) -> _Process:
    """A process of the fork server, which is replaced if it dies just now.

    Raises:
        OSError, EOFError: there is none to be had.
    """
    for pause_s in _FORK_AGAIN_S:
        try:
            return _fork(connection, name)
        except (ConnectionError, EOFError) as error:
            _LOG.warning("the fork server of the workers is replaced: %s", error)
            time.sleep(pause_s)  # until the system calls it dead
    return _fork(connection, name)


def _fork(connection: Connection, name: str) -> _Process:
    with _starting, _main_module_hidden():
        _CONTEXT.set_forkserver_preload(["tango_saver.engine.preload"])
        process = _CONTEXT.Process(
            target=worker_process.main, args=(connection,), name=name, daemon=True
        )
        process.start()
    return process
