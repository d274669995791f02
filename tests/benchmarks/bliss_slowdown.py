"""How much longer a scan of real BLISS 2.2.1 takes with our NexusWriter than with no writer.

    python tests/benchmarks/bliss_slowdown.py [-n TIMES] [--pause SECONDS]

Real parts: BLISS with its Beacon, two Redis servers, the device server. Each scan is run in
turn with ``SCAN_SAVING.writer`` ``null`` and ``nexus``, both measured in the session itself,
a while after the scan before is saved. Then the same in front of a writer that answers
at once and saves nothing: what BLISS itself takes longer to find a writer and to ask it.
At the end all files are verified against Redis. Ends with 1 if a median is more than 50 ms
longer with our writer, or a file is not complete. The first run installs BLISS.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import redis
import tango
from bliss.beamline import DEVICE, SERVER_INSTANCE, SESSION, Beacon, BlissShell, wait_until
from bliss.make_environment import default_folder, make

from tango_saver.demo.processes import SaverServer, ServerProcess
from tango_saver.demo.redis_server import RedisServer
from tango_saver.engine.verifying import verify
from tango_saver.model.settings import SaverSettings

_WRITER = "demo/nexus_writer/demo"
_LIMIT_MS = 50.0
_WARM_UP = 3
_SCANS = {
    "ct, saved": "sct(0.01, diode)",
    "ascan, 10 points": "ascan(robx, 0, 1, 9, 0.01, diode, diode2)",
    "loopscan with MCA, 10 points": "loopscan(10, 0.01, mca, diode)",
    "amesh, 4 x 3": "amesh(robx, 0, 1, 3, roby, 0, 2, 2, 0.01, diode)",
}
_TIMED = """
import time
def timed(scan):
    begun = time.perf_counter()
    scan()
    return time.perf_counter() - begun
"""


class AnsweringServer(ServerProcess):
    """The writer that only answers, in the place of ours.

    Args:
        beacon: whose Tango database has the device.
        folder: for its log.
    """

    def __init__(self, beacon: Beacon, folder: Path) -> None:
        program = Path(__file__).with_name("answering_writer.py")
        command = [sys.executable, str(program), SERVER_INSTANCE]
        super().__init__(command, folder / "answering.log", {"TANGO_HOST": beacon.host})
        self._device = f"tango://{beacon.host}/{_WRITER}"

    def ready(self) -> bool:
        """Whether the device answers."""
        try:
            tango.DeviceProxy(self._device).ping()
        except tango.DevFailed:
            return False
        return True


@dataclass(frozen=True)
class Longer:
    """One scan in front of one server; milliseconds."""

    null: list[float]
    nexus: list[float]

    @property
    def by(self) -> float:
        """How much longer it takes with the server, by the medians."""
        return float(np.median(self.nexus) - np.median(self.null))

    def __str__(self) -> str:
        texts = [
            f"{name} {np.median(times):.0f} ms (p90 {np.percentile(times, 90):.0f})"
            for name, times in (("null", self.null), ("nexus", self.nexus))
        ]
        return f"{', '.join(texts)}: {self.by:+.1f} ms"


def main() -> None:
    """Measure, verify, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20, help="times that each scan is run")
    parser.add_argument(
        "--pause", type=float, default=0.5, help="seconds between a scan that is saved and the next"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        python = make(default_folder())
        data = stack.enter_context(RedisServer(folder / "data_redis", max_memory_mb=512))
        state = stack.enter_context(RedisServer(folder / "settings_redis", max_memory_mb=512))
        with redis.Redis.from_url(data.url) as client:
            client.flushall()  # Beacon prepares an empty database in its own way
            client.function_flush()
        names = {
            "REDIS_URL": data.url,
            "DATA_ROOT": str(folder / "data"),
            "STATE_DIRECTORY": str(folder / "state"),
        }
        beacon = stack.enter_context(Beacon(python, folder, data.url, state.url, names))
        session = stack.enter_context(BlissShell(python, beacon.environment, folder))
        session.enter(_TIMED)
        session.enter(f"SCAN_SAVING.base_path = {str(folder / 'data')!r}")
        is_slow = False
        for name, scan in _SCANS.items():
            ours = _with_ours(beacon, folder, session, scan, asked.n, asked.pause)
            with AnsweringServer(beacon, folder):
                answering = _measured(session, scan, asked.n, asked.pause, lambda: True)
            sys.stdout.write(f"{name}\n  ours:    {ours}\n  answers: {answering}\n")
            sys.stdout.flush()
            is_slow |= ours.by > _LIMIT_MS
        settings = SaverSettings(session=SESSION, redis_url=data.url)
        verdicts = list(verify([folder / "data"], settings))
    incomplete = [str(verdict) for verdict in verdicts if not verdict.complete]
    sys.stdout.write(f"{len(verdicts)} entries verified, {len(incomplete)} not complete\n")
    sys.stdout.writelines(f"{text}\n" for text in incomplete)
    sys.exit(bool(is_slow or incomplete or len(verdicts) < asked.n * len(_SCANS)))


def _with_ours(
    beacon: Beacon, folder: Path, session: BlissShell, scan: str, n_times: int, pause_s: float
) -> Longer:
    with SaverServer(beacon, SERVER_INSTANCE, DEVICE, folder):
        writer = tango.DeviceProxy(f"tango://{beacon.host}/{_WRITER}")
        writer.Start()
        wait_until(lambda: writer.State() == tango.DevState.ON, "listening")
        longer = _measured(
            session, scan, n_times, pause_s, lambda: writer.State() == tango.DevState.ON
        )
        writer.Stop()  # the scans until it is started again are not for it
        wait_until(lambda: writer.State() == tango.DevState.OFF, "stopped")
    return longer


def _measured(
    session: BlissShell, scan: str, n_times: int, pause_s: float, is_idle: Callable[[], bool]
) -> Longer:
    """The scan so many times with each writer."""
    took_ms: dict[str, list[float]] = {"null": [], "nexus": []}
    for number in range(_WARM_UP + n_times):
        for writer, times in took_ms.items():
            session.enter(f"SCAN_SAVING.writer = {writer!r}")
            wait_until(is_idle, "the scan before is saved")
            time.sleep(pause_s)
            took = 1000 * float(session.enter(f"timed(lambda: {scan})"))
            if number >= _WARM_UP:
                times.append(took)
    return Longer(**took_ms)


if __name__ == "__main__":
    main()
