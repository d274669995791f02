"""A scan that is published point by point while things go wrong, and what must come of it."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import redis
from reading import SCALAR, HandMadeScan

from tango_saver.demo.redis_server import free_port
from tango_saver.model.scan import ScanState

SCALARS = ("diode1", "diode2", "diode3", "epoch")
SPECTRUM = "spectrum"
CHANNELS = (*SCALARS, SPECTRUM)
WIDTH = 4096
_numbers = itertools.count(1)


class LiveScan:
    """Four scalar channels and a spectrum of 4096 x uint32, one entry per point.

    Args:
        client: of the Redis.
        path: of the file that the session asks for.
        n_points: of each channel.
        rate_hz: points per second.
        number: of the scan.
        change: made to the document before it is published.
    """

    def __init__(
        self,
        client: redis.Redis,
        path: Path | str,
        *,
        n_points: int = 150,
        rate_hz: float = 50.0,
        number: int | None = None,
        change: Callable[[HandMadeScan], None] = lambda _scan: None,
    ) -> None:
        self.number = number or next(_numbers)
        self.n_points = n_points
        self.path = str(path)
        encoding = {"type": "numeric", "dtype_str": "<u4", "shape": [WIDTH]}
        streams = {**dict.fromkeys(SCALARS, SCALAR), SPECTRUM: encoding}
        self._scan = HandMadeScan(client, streams)
        document = self._scan.document
        document["id"] |= {"number": self.number, "name": "live", "path": self.path}
        document["info"] |= {
            "npoints": n_points, "data_writer": "external", "title": "live",
            "name": f"{self.number}_live", "filename": self.path,
            "start_time": "2026-01-01T00:00:00+00:00",
        }  # fmt: skip
        change(self._scan)
        self._pause_s = 1 / rate_hz
        self._n_sent = 0
        self.key = str(self._scan.key)
        self._thread = threading.Thread(target=self._publish, daemon=True)

    @property
    def raw(self) -> HandMadeScan:
        """For what is to be published otherwise than it should."""
        return self._scan

    def start(self, *, closes: bool = True) -> LiveScan:
        """Create, prepare and begin it; without ``closes`` it is never ended, as if killed."""
        self._closes = closes
        self._scan.announce(ScanState.CREATED)
        self._scan.announce(ScanState.PREPARED, ScanState.STARTED)
        self._thread.start()
        return self

    def wait_for_points(self, n_points: int) -> None:
        """Until so many were published."""
        while self._n_sent < n_points:
            time.sleep(0.01)

    def join(self) -> LiveScan:
        """Wait until it is over."""
        self._thread.join(120)
        assert not self._thread.is_alive()
        return self

    def _publish(self) -> None:
        begun = time.monotonic()
        for index in range(self.n_points):
            time.sleep(max(0.0, begun + index * self._pause_s - time.monotonic()))
            with contextlib.suppress(redis.RedisError):  # a Redis that is gone or full loses it
                self._send(index)
            self._n_sent = index + 1
        if self._closes:
            with contextlib.suppress(redis.RedisError):
                self.close()

    def _send(self, index: int) -> None:
        scan = self._scan
        with scan.client.pipeline(transaction=False) as pipeline:
            for channel in scan.streams:
                payload = self.point(channel, index).tobytes()
                pipeline.xadd(
                    scan.streams[channel], {"payload": payload, "len": 1}, id=f"{index}-1"
                )
            pipeline.execute()

    def close(self) -> None:
        """End every stream, then the scan."""
        self._scan.seal()
        self._scan.document["info"] |= {
            "end_reason": "SUCCESS", "end_time": "2026-01-01T00:01:00+00:00",
        }  # fmt: skip
        self._scan.announce(ScanState.STOPPED, ScanState.CLOSED)

    def point(self, channel: str, index: int) -> np.ndarray:
        """What is published."""
        if channel == SPECTRUM:
            return (np.arange(WIDTH) % 97 + index).astype("<u4")
        return np.asarray(index * 1.5 + len(channel), "<f8")

    def saved_points(self, path: Path | str | None = None) -> dict[str, int]:
        """Channel -> points in the file that are as they were published."""
        counts = dict.fromkeys(CHANNELS, 0)
        with (
            contextlib.suppress(OSError, KeyError),
            h5py.File(path or self.path, "r", locking=False) as file,
        ):
            measurement = file[f"{self.number}.1/measurement"]
            for channel in CHANNELS:
                if channel in measurement:
                    rows = measurement[channel][()]
                    counts[channel] = sum(
                        bool((row == self.point(channel, index)).all())
                        for index, row in enumerate(rows)
                    )
        return counts

    def n_lost(self, path: Path | str | None = None) -> int:
        """Points that are not in the file, summed over the channels."""
        return len(CHANNELS) * self.n_points - sum(self.saved_points(path).values())


class Relay:
    """A TCP relay in front of a Redis: can be cut, and can be slow.

    Args:
        port: of the Redis on this host.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []
        self._delay_s = 0.0
        self._listener: socket.socket | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.restore()

    def cut(self) -> None:
        """Refuse and break every connection."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for side in self._sockets:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
        self._sockets.clear()

    def restore(self) -> None:
        """Take connections (again)."""
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def slow(self, delay_s: float) -> None:
        """Hold every piece of every answer back for so long."""
        self._delay_s = delay_s

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                theirs, _ = listener.accept()
                try:
                    ours = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    theirs.close()  # as a Redis that is away does
                    continue
                self._sockets += [theirs, ours]
                for source, sink, slow in ((theirs, ours, False), (ours, theirs, True)):
                    threading.Thread(
                        target=self._pump, args=(source, sink, slow), daemon=True
                    ).start()

    def _pump(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if slow and self._delay_s:
                    time.sleep(self._delay_s)
                sink.sendall(data)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
