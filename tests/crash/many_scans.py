"""Ten thousand scans at once, none of which ends; then a good one; then the end of all.

    python tests/crash/many_scans.py [--scans 10000] [--files 100]

Says how long it took, what it cost, and what is missing; the exit code is 1 if anything is.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
import redis
from reading import SCALAR, HandMadeScan
from saving import RunningSaver, points_in

from tango_saver.demo.redis_server import RedisServer
from tango_saver.model.report import SavingState
from tango_saver.model.settings import SaverSettings

POINTS = 5
BATCH = 500
"""Scans between two looks at whether they were heard of: the history keeps 2048."""
PATIENCE_S = 900.0


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=100)
    asked = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder) / "redis") as server:
        settings = SaverSettings(
            session="*",
            redis_url=server.url,
            state_directory=str(Path(folder) / "state"),
            disk_warning_gb=0.0,
        )
        saver = RunningSaver(settings)
        try:
            missing = run(saver, server.url, Path(folder), asked.scans, asked.files)
        finally:
            saver.close()
    tell("nothing is missing" if not missing else f"MISSING: {missing}")
    sys.exit(bool(missing))


def run(saver: RunningSaver, url: str, folder: Path, n_scans: int, n_files: int) -> str:
    """Publish and wait; what is missing, empty if nothing is."""
    with redis.Redis.from_url(url) as client:
        began = time.monotonic()
        scans = []
        for index in range(n_scans):
            scans.append(hand_made(client, folder / f"{index % n_files}.h5"))
            scans[-1].announce(0, 1, 2)
            scans[-1].send("c", 0, range(POINTS))
            if index % BATCH == BATCH - 1:
                saver.wait_for(lambda status, n=index + 1: len(status.running) >= n, PATIENCE_S)
        say("announced and heard of", began)
        costs(client)
        saver.wait_for(lambda status: points_in(status) == POINTS * n_scans, PATIENCE_S)
        say("every point on disk", began)
        costs(client)
        asked = time.monotonic()
        good = hand_made(client, folder / "good.h5")
        good.announce(0, 1, 2)
        good.send("c", 0, range(POINTS))
        finish(good)
        saver.wait_for(
            lambda status: any(report.key == good.key for report in status.finished), PATIENCE_S
        )
        say("a scan beside them was saved within", asked)
        ended = time.monotonic()
        for scan in scans:
            finish(scan)
        saver.wait_for(lambda status: not status.running, PATIENCE_S)
        say("all were closed within", ended)
        status = saver.conductor.status()
        costs(client)
    failed = [report for report in status.finished if report.state is not SavingState.SAVED]
    wrong = [failed[0].error] if failed else []
    if status.scans_saved != n_scans + 1:
        wrong.append(f"{n_scans + 1 - status.scans_saved} scans")
    if status.worker_restarts:
        wrong.append(f"{status.worker_restarts} workers died")
    return "; ".join(wrong)


def hand_made(client: redis.Redis, target: Path) -> HandMadeScan:
    """A scan with one channel."""
    scan = HandMadeScan(client, {"c": SCALAR})
    scan.document["id"]["path"] = str(target)
    scan.document["info"]["data_writer"] = "nexus"
    return scan


def finish(scan: HandMadeScan) -> None:
    """End it."""
    scan.seal()
    scan.announce(3, 4)


def costs(client: redis.Redis) -> None:
    """What it takes at this moment."""
    here = psutil.Process()
    sizes = [here.memory_info().rss, *(c.memory_info().rss for c in here.children(recursive=True))]
    n_connections = client.info("clients")["connected_clients"]
    largest = ", ".join(f"{size / 1e6:.0f}" for size in sorted(sizes, reverse=True)[:6])
    seconds = sum(here.cpu_times()[:2])
    tell(f"  CPU time of the conductor, and of this script: {seconds:.0f} s")
    tell(f"  memory of the largest processes: {largest} MB; {n_connections} connections to Redis")


def say(what: str, since: float) -> None:
    """One line with a time."""
    tell(f"{what}: {time.monotonic() - since:.1f} s")


def tell(line: str) -> None:
    """One line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
