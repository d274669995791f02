"""How much longer a scan of real BLISS 2.2.1 takes with our NexusWriter than with no writer.

    python tests/benchmarks/bliss_slowdown.py [-n TIMES]

Real parts: BLISS with its Beacon, two Redis servers, the device server. Each scan is run in
turn with ``SCAN_SAVING.writer`` ``null`` and ``nexus``, both measured in the session itself.
At the end all files are verified against Redis. Ends with 1 if a median is more than 50 ms
longer, or a file is not complete. The first run installs BLISS.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import redis
import tango
from bliss.beamline import DEVICE, SERVER_INSTANCE, SESSION, Beacon, BlissShell, wait_until
from bliss.make_environment import default_folder, make

from tango_saver.demo.processes import SaverServer
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


def main() -> None:
    """Measure, verify, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20, help="times that each scan is run")
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
        stack.enter_context(SaverServer(beacon, SERVER_INSTANCE, DEVICE, folder))
        session = stack.enter_context(BlissShell(python, beacon.environment, folder))
        writer = tango.DeviceProxy(f"tango://{beacon.host}/{_WRITER}")
        wait_until(lambda: writer.State() == tango.DevState.ON, "listening")
        session.enter(_TIMED)
        session.enter(f"SCAN_SAVING.base_path = {str(folder / 'data')!r}")
        slow = [name for name in _SCANS if _is_slower(session, name, asked.n)]
        wait_until(lambda: writer.State() == tango.DevState.ON, "all saved")
        settings = SaverSettings(session=SESSION, redis_url=data.url)
        verdicts = list(verify([folder / "data"], settings))
    incomplete = [str(verdict) for verdict in verdicts if not verdict.complete]
    sys.stdout.write(f"{len(verdicts)} entries verified, {len(incomplete)} not complete\n")
    sys.stdout.writelines(f"{text}\n" for text in incomplete)
    sys.exit(bool(slow or incomplete or len(verdicts) < asked.n * len(_SCANS)))


def _is_slower(session: BlissShell, name: str, n_times: int) -> bool:
    """Whether the scan takes more than the limit longer with our writer."""
    took_ms: dict[str, list[float]] = {"null": [], "nexus": []}
    for number in range(_WARM_UP + n_times):
        for writer, times in took_ms.items():
            session.enter(f"SCAN_SAVING.writer = {writer!r}")
            took = 1000 * float(session.enter(f"timed(lambda: {_SCANS[name]})"))
            if number >= _WARM_UP:
                times.append(took)
    medians = {writer: float(np.median(times)) for writer, times in took_ms.items()}
    longer = medians["nexus"] - medians["null"]
    latest = {writer: np.percentile(times, 90) for writer, times in took_ms.items()}
    sys.stdout.write(
        f"{name}: null {medians['null']:.1f} ms (p90 {latest['null']:.1f}), nexus"
        f" {medians['nexus']:.1f} ms (p90 {latest['nexus']:.1f}): {longer:+.1f} ms\n"
    )
    sys.stdout.flush()
    return longer > _LIMIT_MS


if __name__ == "__main__":
    main()
