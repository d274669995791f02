"""Kills and freezes the instance that saves a scan, at random instants, and looks at the file.

    python tests/crash/takeovers.py --number 20 [--seed 0]

Two instances share a session. In turn the one that has the scan is ended with SIGKILL, stopped
with SIGSTOP and let go on after the scan is over, or stopped and let go on while the other one
writes. Each file must have one entry with every point once, and nothing beside it; what was
stopped must report who went on. Told is how long nobody wrote. Exit code 0 only if all are.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import redis

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from crash.instances import holder, is_whole, n_points, start_instance  # noqa: E402 - found above
from crash.killing import Server, wait_for_reports, wait_until  # noqa: E402
from crash.live_scan import LiveScan  # noqa: E402

from tango_saver.demo.redis_server import RedisServer  # noqa: E402
from tango_saver.model.report import SavingState  # noqa: E402

KINDS = ("killed", "frozen until the scan is over", "frozen until the other one writes")
N_POINTS, RATE_HZ = 600, 50.0


def take_over(kind: str, chance: random.Random, folder: Path, redis_url: str) -> tuple[bool, float]:
    """One scan; whether all is well, and for how many seconds nobody wrote."""
    servers: list[Server] = []
    try:
        servers += [start_instance(redis_url, folder / f"state {name}") for name in "ab"]
        with redis.Redis.from_url(redis_url) as client:
            scan = LiveScan(
                client, folder / "data" / "scan.h5", n_points=N_POINTS, rate_hz=RATE_HZ
            ).start()
            return _take_over(kind, chance, scan, servers)
    finally:
        for server in servers:
            server.kill()


def _take_over(
    kind: str, chance: random.Random, scan: LiveScan, servers: Sequence[Server]
) -> tuple[bool, float]:
    wait_until(lambda: n_points(scan) > 0, 20)
    first, second, worker = holder(Path(scan.path), *servers)
    time.sleep(chance.uniform(0, 3))
    family = first.family()
    if kind == KINDS[0]:
        first.kill()
    else:
        for process in family:
            process.send_signal(signal.SIGSTOP)
    at, n_before = time.monotonic(), n_points(scan)
    wait_until(lambda: n_points(scan) > n_before, 30)
    waited_s = time.monotonic() - at
    if kind == KINDS[1]:
        wait_for_reports(second.settings, [scan.join().key])
    well = True
    if kind != KINDS[0]:
        for process in family:
            process.resume()
        (told,) = wait_for_reports(first.settings, [scan.key])
        well = told.state is SavingState.MOVED
        worker.wait(20)
    (report,) = wait_for_reports(second.settings, [scan.join().key])
    return well and report.state is SavingState.SAVED and is_whole(scan), waited_s


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--number", type=int, default=20, help="of scans")
    parser.add_argument("--seed", type=int, default=0, help="of the random instants")
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)  # noqa: S311 - repeatable instants, no secrets
    n_well, longest_s = 0, 0.0
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name) / "redis") as server:
        for index in range(options.number):
            kind = KINDS[index % len(KINDS)]
            well, waited_s = take_over(kind, chance, Path(name) / str(index), server.url)
            n_well += well
            longest_s = max(longest_s, waited_s)
            verdict = "well" if well else "NOT WELL"
            print(f"{index}: {kind}: {verdict}, nobody wrote for {waited_s:.1f} s", flush=True)  # noqa: T201 - a command's result
    print(f"{n_well} of {options.number} well, at most {longest_s:.1f} s without a writer")  # noqa: T201
    return 0 if n_well == options.number else 1


if __name__ == "__main__":
    sys.exit(main())
