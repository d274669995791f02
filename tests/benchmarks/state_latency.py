"""How long State of a TangoSaver takes through a DeviceProxy while 8 scans are saved flat out.

    python tests/benchmarks/state_latency.py

Real parts: a Tango database, the device server as a process, Redis, a publisher in a
process of its own. All values in the files are compared at the end; ends with 1 if one
differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tango
from load import PRESETS, SESSION

from tango_saver.control.register import register
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.redis_server import RedisServer

_HERE = Path(__file__).parent
_DEVICE = "load/tango_saver/1"
_PERIOD_S = 0.005
_SAVE_TIMEOUT_S = 120.0


def main() -> int:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where data is written (default: temporary)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="load-", dir=options.folder) as temporary:
        folder = Path(temporary)
        with (
            RedisServer(folder / "redis", max_memory_mb=8000) as redis_server,
            TangoDatabase(folder) as database,
        ):
            _register(database, redis_server.url, folder)
            with SaverServer(database, "load", _DEVICE, folder) as server:
                saver = tango.DeviceProxy(server.device)
                saver.Start()
                idle = _poll(saver, lambda: False, 2.0)
                busy = _save(saver, redis_server.url, folder)
                saver.Stop()
        _print("idle", idle)
        _print("8 scans flat out", busy)
        command = [sys.executable, str(_HERE / "read_back.py"), str(folder / "manifest.json")]
        equal = subprocess.run(command, check=False).returncode == 0
    sys.stdout.write("all values equal\n" if equal else "values differ\n")
    return 0 if equal else 1


def _register(database: TangoDatabase, redis_url: str, folder: Path) -> None:
    register(
        tango.Database("127.0.0.1", database.port),
        server_instance="TangoSaver/load",
        device=_DEVICE,
        properties={
            "session": [SESSION],
            "redis_url": [redis_url],
            "state_directory": [str(folder / "state")],
            "auto_start": ["false"],
        },
    )


def _save(saver: tango.DeviceProxy, redis_url: str, folder: Path) -> list[tuple[float, str]]:
    """Publish and read State until all scans are saved."""
    command = [
        sys.executable, str(_HERE / "load.py"), "--redis", redis_url,
        "--folder", str(folder / "data"), "--preset", "parallel8",
    ]  # fmt: skip
    n_scans = PRESETS["parallel8"].n_scans
    with (folder / "manifest.json").open("wb") as output:
        publisher = subprocess.Popen(command, stdout=output)
    next_look = time.monotonic()

    def ended() -> bool:
        nonlocal next_look
        if publisher.poll() is None or time.monotonic() < next_look:
            return False
        next_look = time.monotonic() + 0.2
        return bool(saver.ScansSaved + saver.ScansFailed >= n_scans)

    samples = _poll(saver, ended, _SAVE_TIMEOUT_S)
    publisher.wait()
    n_points = json.loads((folder / "manifest.json").read_text())["scans"][0]["n_points"]
    sys.stdout.write(f"{n_scans} scans of {n_points} points saved; {saver.status()}\n")
    return samples


def _poll(saver: tango.DeviceProxy, ended: Any, timeout_s: float) -> list[tuple[float, str]]:
    """Read State again and again: how long each reading took (seconds), and what it said."""
    samples = []
    deadline = time.monotonic() + timeout_s
    while not ended() and time.monotonic() < deadline:
        before = time.perf_counter()
        state = saver.state()
        samples.append((time.perf_counter() - before, str(state)))
        time.sleep(_PERIOD_S)
    return samples


def _print(name: str, samples: list[tuple[float, str]]) -> None:
    took = np.array([seconds for seconds, _ in samples]) * 1000
    middle, late = np.percentile(took, [50, 99])
    states = dict(Counter(state for _, state in samples))
    sys.stdout.write(
        f"State, {name}: {len(took)} readings, p50 {middle:.2f} ms, p99 {late:.2f} ms,"
        f" max {took.max():.2f} ms; {states}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
