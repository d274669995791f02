"""A Redis that answers nonsense costs nothing once it talks sense again."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import pytest
from crash.live_scan import Relay
from publishing import Publishing
from saving import StartSaver, points_in

from tango_saver.demo.publisher import replay
from tango_saver.demo.redis_server import RedisServer
from tango_saver.model.report import SavingState
from tango_saver.model.scan import ScanState
from tango_saver.model.status import SaverState

NONSENSE = {
    "bytes": b"\x00\xff" * 5000,
    "web server": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "OK to everything": b"+OK\r\n" * 50,
    "numbers": b":-7\r\n" * 50,
    "nothing": b"$-1\r\n" * 50,
    "lists of lists": b"*1\r\n" * 100_000,
    "empty lists": b"*0\r\n" * 50,
    "strange entries": b"*1\r\n*2\r\n$1\r\na\r\n*1\r\n:5\r\n" * 50,
    "a text of 10 GB": b"$10000000000\r\nabc",
    "a list without end": b"*1000000\r\n:1\r\n",
}


class Liar:
    """Takes connections on a port and answers everything with the same bytes."""

    def __init__(self, port: int, answer: bytes) -> None:
        self._answer = answer
        self._sockets: list[socket.socket] = []
        self.asked = threading.Semaphore(0)
        """Released with every question."""
        self._listener = socket.create_server(("127.0.0.1", port), reuse_port=True)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._sockets.append(connection)
                threading.Thread(target=self._lie, args=(connection,), daemon=True).start()

    def _lie(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(1 << 16):
                connection.sendall(self._answer)
                self.asked.release()

    def close(self) -> None:
        """Take no more, and break every connection."""
        for side in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(("bytes", "numbers", "strange entries"), id="some"),
        pytest.param(tuple(NONSENSE), id="all", marks=pytest.mark.long),
    ],
)
def test_a_scan_outlasts_nonsense_and_so_does_listening(
    kinds: tuple[str, ...],
    recordings: Path,
    redis_server: RedisServer,
    redis_url: str,
    start_saver: StartSaver,
    tmp_path: Path,
) -> None:
    relay = Relay(redis_server.port)
    saver = start_saver(redis_url=relay.url, redis_timeout_s=0.5)
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    publishing.wait_for(ScanState.STOPPED)
    saver.wait_for(lambda status: points_in(status) == 77)
    for kind in kinds:
        relay.cut()
        liar = Liar(relay.port, NONSENSE[kind])
        for _ in range(2):
            assert liar.asked.acquire(timeout=8), kind
        liar.close()
        relay.restore()
    saver.wait_for(lambda status: status.state is SaverState.RUNNING)
    (report,) = saver.reports(publishing.finish(), 20)
    assert report.state is SavingState.SAVED, report.error
    assert report.points_saved == 77
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "next", speed=0)
    assert saver.reports(keys, 20)[0].state is SavingState.SAVED
    assert saver.conductor.status().worker_restarts == 0
    relay.cut()


@pytest.mark.parametrize("kind", ["OK to everything", "numbers", "bytes"])
def test_a_saver_that_meets_nonsense_first_listens_once_it_ends(
    kind: str,
    recordings: Path,
    redis_server: RedisServer,
    redis_url: str,
    start_saver: StartSaver,
    tmp_path: Path,
) -> None:
    relay = Relay(redis_server.port)
    relay.cut()
    liar = Liar(relay.port, NONSENSE[kind])
    saver = start_saver(redis_url=relay.url, redis_timeout_s=0.5)
    status = saver.wait_for(lambda status: status.alarms or status.state is SaverState.FAULT)
    assert "Redis" in status.status
    liar.close()
    relay.restore()
    saver.wait_for(lambda status: status.state is SaverState.ON)
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0)
    assert saver.reports(keys, 20)[0].state is SavingState.SAVED
    relay.cut()
