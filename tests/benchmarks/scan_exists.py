"""How long a scan must exist until the NexusWriter device knows it, as BLISS asks.

    python tests/benchmarks/scan_exists.py [-n SCANS]

Real parts: a Tango database, the device server as a process, Redis. Each scan is a recorded
one, published at the recorded pace divided by ten. From just before it is created until the
first ``scan_exists`` that is true, and until the answers that follow it are there: permission,
disk, state. Ends with 1 if an answer was not the right one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tango

from tango_saver.control.register import register
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.publisher import replay
from tango_saver.demo.redis_server import RedisServer
from tango_saver.model.scan import ScanState

_SESSION = "latency"
_RECORDING = Path(__file__).parents[2] / "resources" / "recordings" / "bliss2" / "ascan.json.gz"
_WARM_UP = 15
"""Scans that come while the server is still starting its workers."""
_DEVICES = {"TangoSaver": "load/saver/1", "NexusWriter": "load/nexus/1"}
_STARTING = (tango.DevState.ON, tango.DevState.RUNNING)
"""BLISS starts a scan in these."""


class Asker:
    """Asks what BLISS asks while a scan is created."""

    def __init__(self, writer: tango.DeviceProxy) -> None:
        self._writer = writer
        self.known_ms: list[float] = []
        self.checked_ms: list[float] = []
        self.calls: list[int] = []
        self.wrong: list[str] = []
        """What was not as it should be of each scan; empty if nothing was."""
        self._created_at = 0.0
        self._name = ""

    def scan(self, number: int) -> None:
        """The next scan."""
        self._name = f"{number}_ascan"

    def ask(self, _key: str, state: ScanState) -> None:
        """Called after each state was published."""
        if state is not ScanState.CREATED:
            return
        created = time.perf_counter()
        calls = 1
        while not self._writer.scan_exists(self._name):
            calls += 1
        self.known_ms.append((time.perf_counter() - created) * 1000)
        writable = self._writer.scan_has_write_permissions(self._name)
        error = self._writer.scan_disk_space_error(self._name)
        state_now = self._writer.scan_state(self._name)
        self.checked_ms.append((time.perf_counter() - created) * 1000)
        self.calls.append(calls)
        is_right = writable and not error and state_now in _STARTING
        self.wrong.append("" if is_right else f"{self._name}: {writable} {error!r} {state_now}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=200, help="number of scans")
    n_scans = parser.parse_args().n
    with tempfile.TemporaryDirectory(prefix="load-") as temporary:
        folder = Path(temporary)
        with RedisServer(folder / "redis") as redis_server, TangoDatabase(folder) as database:
            _register(database, redis_server.url, folder)
            with SaverServer(database, "load", _DEVICES["NexusWriter"], folder) as server:
                asker = Asker(tango.DeviceProxy(server.device))
                for number in range(1, n_scans + _WARM_UP + 1):
                    asker.scan(number)
                    replay(
                        _RECORDING, redis_server.url, folder, speed=10, number=number,
                        session=_SESSION, writer="nexus", file=f"{number % 7}.h5",
                        on_state=asker.ask,
                    )  # fmt: skip
    for name, times in (("scan_exists true", asker.known_ms), ("all answers", asker.checked_ms)):
        took = times[_WARM_UP:]
        middle, late = np.percentile(took, [50, 99])
        sys.stdout.write(
            f"{name}: {len(took)} scans, p50 {middle:.2f} ms, p99 {late:.2f} ms,"
            f" max {max(took):.2f} ms; before them, after the start of the server:"
            f" {', '.join(f'{time:.0f}' for time in times[:_WARM_UP])} ms\n"
        )
    wrong = [answers for answers in asker.wrong if answers]
    sys.stdout.write(f"most calls {max(asker.calls)}; {len(wrong)} wrong answers {wrong}\n")
    return 1 if any(asker.wrong[_WARM_UP:]) else 0


def _register(database: TangoDatabase, redis_url: str, folder: Path) -> None:
    for class_name, device in _DEVICES.items():
        register(
            tango.Database("127.0.0.1", database.port),
            server_instance="TangoSaver/load",
            device=device,
            class_name=class_name,
            properties={
                "session": [_SESSION],
                "redis_url": [redis_url],
                "state_directory": [str(folder / "state")],
                "disk_warning": ["0"],
            },
        )


if __name__ == "__main__":
    sys.exit(main())
