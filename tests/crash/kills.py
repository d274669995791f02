"""Kills the saver at random instants, lets it go on, and compares what it leaves.

    python tests/crash/kills.py --number 200 [--seed 0]

In turn a worker process or the whole server is ended with SIGKILL, at a random instant from the
first publication of a load to a moment after its end. The loads are recorded scans: a step scan,
MCA spectra, two scans in parallel, and images by reference. The file must equal that of a saver
that was left in peace, object by object and value by value, and the entry that was in it before
must be as it was. Exit code 0 only if all are.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from crash.digests import digests  # noqa: E402 - found by the line above
from crash.killing import Server, wait_for_reports  # noqa: E402

from tango_saver.demo.publisher import replay  # noqa: E402
from tango_saver.demo.redis_server import RedisServer  # noqa: E402
from tango_saver.model.report import SavingState  # noqa: E402
from tango_saver.model.settings import SaverSettings  # noqa: E402

RECORDINGS = HERE.parents[1] / "resources" / "recordings" / "bliss2"
IMAGES = HERE.parent / "file" / "files"
LOADS = ("ascan", "mca", "parallel", "lima_hdf5")
PUBLISHING_S = 1.2
"""How long the publication of a load takes."""
BEFORE = 900
"""Number of the scan that is in the file already."""


@dataclass
class Outcome:
    """What all kills came to."""

    n_equal: int = 0
    unequal: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    n_rescued: int = 0


class KillTest:
    """Runs loads against one Redis; files go below ``folder``."""

    def __init__(self, folder: Path, redis_url: str, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)  # noqa: S311 - instants, no secrets
        self._settings = SaverSettings(
            session="*",
            redis_url=redis_url,
            state_directory=str(folder / "state"),
            disk_warning_gb=0.0,
            disk_minimum_gb=0.0,
        )
        self._expected: dict[str, dict[str, str]] = {}
        self._server = self._start()
        self.outcome = Outcome()

    def _start(self) -> Server:
        server = Server(self._settings)
        server.wait_until_it_listens()
        return server

    def close(self) -> None:
        """End the saver."""
        self._server.kill()

    def run(self, number: int) -> None:
        """One load, one kill."""
        load = LOADS[number % len(LOADS)]
        kind = "worker" if number // len(LOADS) % 2 else "server"
        if load not in self._expected:
            self._expected[load] = self._save(load, self._folder / f"{load}-in-peace", None, "")
        instant = self._random.uniform(0.0, PUBLISHING_S + 0.4)
        folder = self._folder / f"{number:04}"
        try:
            found = self._save(load, folder, instant, kind)
        except Exception as error:  # noqa: BLE001 - one more that is not equal
            self._fail(number, load, kind, instant, f"{type(error).__name__}: {error}")
            return
        self.outcome.kinds[f"{kind} during {load}"] += 1
        self.outcome.n_rescued += len(list(folder.glob("*.damaged-*")))
        wrong = [
            name
            for name in {**found, **self._expected[load]}
            if found.get(name) != self._expected[load].get(name)
        ]
        if wrong:
            self._fail(number, load, kind, instant, f"differs in {sorted(wrong)[:5]}")
        else:
            self.outcome.n_equal += 1
            shutil.rmtree(folder)

    def _fail(self, number: int, load: str, kind: str, instant: float, what: str) -> None:
        self.outcome.unequal.append(f"{number}: {kind} killed {instant:.3f} s into {load}: {what}")

    def _save(self, load: str, folder: Path, instant: float | None, kind: str) -> dict[str, str]:
        """Publish a load, kill at the instant, and wait for what comes of it."""
        images = IMAGES / load
        keys = replay(
            RECORDINGS / "ascan.json.gz", self._settings.redis_url, folder,
            speed=0, number=BEFORE, file="data.h5",
        )  # fmt: skip
        wait_for_reports(self._settings, keys)
        before = digests(folder / "data.h5", f"{BEFORE}.1")
        killing = threading.Thread(target=self._kill, args=(instant, kind))
        killing.start()
        keys = replay(
            RECORDINGS / f"{load}.json.gz", self._settings.redis_url, folder,
            speed=_speed(load), file="data.h5", images=images if images.exists() else None,
        )  # fmt: skip
        killing.join()
        reports = wait_for_reports(self._settings, keys)
        assert {report.target for report in reports} == {str(folder / "data.h5")}
        assert {report.state for report in reports} == {SavingState.SAVED}, reports
        assert digests(folder / "data.h5", f"{BEFORE}.1") == before, "the earlier entry changed"
        assert not list(folder.glob(".*.journal*")), "a journal was left"
        return digests(folder / "data.h5")

    def _kill(self, instant: float | None, kind: str) -> None:
        if instant is None:
            return
        time.sleep(instant)
        if kind == "worker":
            self._server.kill_a_worker()
        else:
            self._server.kill()
            self._server = self._start()


def _speed(load: str) -> float:
    with gzip.open(RECORDINGS / f"{load}.json.gz", "rt") as file:
        scans = json.load(file)["scans"]
    times = [state["t"] for scan in scans for state in scan["states"]]
    return max((max(times) - min(times)) / PUBLISHING_S, 0.01)


def kill(number: int, seed: int, folder: Path, redis_url: str, *, tell: bool = False) -> Outcome:
    """So many kills, one after the other."""
    test = KillTest(folder, redis_url, seed)
    try:
        for index in range(number):
            test.run(index)
            if tell and index % 10 == 9:
                outcome = test.outcome
                print(f"{index + 1}: {outcome.n_equal} equal, {len(outcome.unequal)} not")  # noqa: T201
                with redis.Redis.from_url(redis_url) as client:
                    client.xtrim("_SCAN_HISTORY_", maxlen=64)
    finally:
        test.close()
    return test.outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--number", type=int, default=200, help="of kills")
    parser.add_argument("--seed", type=int, default=0, help="of the random instants")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name) / "redis") as server:
        outcome = kill(options.number, options.seed, Path(name), server.url, tell=True)
    for line in outcome.unequal:
        print(line)  # noqa: T201 - a command's result
    print(  # noqa: T201
        f"{options.number} kills: {outcome.n_equal} files equal, {len(outcome.unequal)} not, "
        f"{outcome.n_rescued} damaged and rescued"
    )
    for kind, count in sorted(outcome.kinds.items()):
        print(f"  {count:4} x {kind}")  # noqa: T201
    return 0 if outcome.n_equal == options.number else 1


if __name__ == "__main__":
    sys.exit(main())
