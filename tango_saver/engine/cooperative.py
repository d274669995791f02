"""Threads whose results greenlets wait for without holding each other up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar

import gevent
from gevent.event import Event

_P = ParamSpec("_P")
_T = TypeVar("_T")


class _CooperativeFuture(Future[_T]):
    """Waits with the greenlet that asks, never with its thread."""

    def result(self, timeout: float | None = None) -> _T:
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        if self.done():
            return
        finished = Event()
        loop = gevent.get_hub().loop
        self.add_done_callback(lambda _: loop.run_callback_threadsafe(finished.set))
        awaited = loop.async_()  # gevent takes a loop without watchers for a dead end
        awaited.start(lambda: None)
        try:
            finished.wait(timeout)
        finally:
            awaited.stop()
            awaited.close()


class CooperativeExecutor(Executor):
    """Real threads for work that releases the interpreter, used by the greenlets of one thread.

    ``submit`` never waits, however much is waiting already: gevent's own executor waits for a
    free thread while it holds a lock, and a second greenlet that submits stops all of them.

    Args:
        n_threads: how many; they end with the process.
    """

    def __init__(self, n_threads: int) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        for number in range(n_threads):
            Thread(target=self._run, name=f"encoder {number}", daemon=True).start()

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have a thread call the function."""
        future: Future[_T] = _CooperativeFuture()
        self._work.put((future, lambda: fn(*args, **kwargs)))
        return future

    def _run(self) -> None:
        while True:
            future, work = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it is the caller's to judge
                future.set_exception(error)
            else:
                future.set_result(result)
            del future, work
