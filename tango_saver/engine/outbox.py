"""Sends messages over a pipe from a thread of its own, so that the sender never waits.

A pipe that nobody reads (a worker in a file system that does not answer) blocks its writer.
"""

from __future__ import annotations

import queue
import threading
from multiprocessing.connection import Connection

from tango_saver.engine.messages import News, Order, encode


class Outbox:
    """Messages in order; what cannot be sent any more is dropped with the pipe."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._messages: queue.SimpleQueue[Order | News | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, message: Order | News) -> None:
        """Send it soon; returns at once."""
        self._messages.put(message)

    def close(self, timeout_s: float) -> None:
        """Wait until everything was sent, at most so long."""
        self._messages.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (message := self._messages.get()) is not None:
            try:
                self._connection.send_bytes(encode(message))
            except OSError:
                return  # the other side is gone; whoever reads the pipe sees its end
