"""A Redis that answers nonsense costs nothing once it talks sense again."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Self

import psutil
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
    "a list of two billion": b"*2000000000\r\n",
    "a list of two billion, later": b"*1\r\n*2\r\n$1\r\na\r\n*2000000000\r\n",
    "a push of two billion": b">2000000000\r\n",
    "a text of 2 GB": b"$2000000000\r\n" + b"a" * 2**20,
    "a status without end": b"+" + b"a" * 2**20,
}
BEYOND_MEASURE = {
    "a list of two billion": "a list of 2000000000 elements",
    "a list of two billion, later": "a list of 2000000000 elements",
    "a push of two billion": "a list of 2000000000 elements",
    "a text of 2 GB": "a value of 2000000000 bytes",
    "a status without end": "a line without an end",
    "a text that trickles": "not complete after",
}
NONSENSE_THEN = {"a text that trickles": (b"$1000\r\n", b"a")}
"""What is answered, and then sent ten times a second."""


class Liar:
    """Takes connections on a port and answers everything with the same bytes.

    Args:
        port: on this host.
        answer: to the first thing that is asked for, and to all others.
        then: sent ten times a second from then on, instead of other answers.
    """

    def __init__(self, port: int, answer: bytes, then: bytes = b"") -> None:
        self._answer = answer
        self._then = then
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
                while self._then:
                    time.sleep(0.1)
                    connection.sendall(self._then)

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


class Peak:
    """The largest memory that this process and its children take while it is asked for."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes, summed over the processes."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.size = max(self.size, memory())


def memory() -> int:
    """Bytes of this process and of all its children."""
    here = psutil.Process()
    total = 0
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


@pytest.mark.parametrize("kind", BEYOND_MEASURE)
def test_an_answer_beyond_all_measure_is_told_and_outlasted(
    kind: str,
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
    before = memory()
    relay.cut()
    answer, then = NONSENSE_THEN.get(kind) or (NONSENSE[kind], b"")
    liar = Liar(relay.port, answer, then)
    with Peak() as peak:
        status = saver.wait_for(
            lambda status: any(BEYOND_MEASURE[kind] in alarm for alarm in status.alarms), 15
        )
        assert status.state is SaverState.ALARM
        keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "next", speed=0)
        time.sleep(2)
    liar.close()
    relay.restore()
    assert peak.size - before < 200e6
    saver.wait_for(lambda status: status.state is SaverState.RUNNING, 15)
    reports = saver.reports([*publishing.finish(), *keys], 20)
    assert [report.state for report in reports] == [SavingState.SAVED] * 2
    assert [report.points_saved for report in reports] == [77] * 2
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
