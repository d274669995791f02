"""Start, Stop and Init again and again, and clients that hammer, while 8 scans are saved.

    python tests/crash/cycles.py [--cycles 200] [--seconds 120] [--rate 20]

Real parts: a Tango database, the device server as a process, Redis, a publisher in a process
of its own. The scans begin before the first cycle and end after the last one. Each command has
three seconds, as Tango gives it. Every second cycle waits for the event of each new state, the
others let the commands run into each other. At the end every value is compared, the events are
(nothing goes back, the last of each is what the device says), and one more scan is saved.
The exit code is 1 if anything is not as it must be.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import redis
import tango
from devices import Events
from load import PRESETS, SESSION, Preset, publish, scans_of
from read_back import differences, is_complete

from tango_saver.control.register import register
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.publisher import HISTORY
from tango_saver.demo.redis_server import RedisServer

DEVICES = {"TangoSaver": "load/saver/1", "NexusWriter": "load/nexus/1"}
N_SCANS = 8
LONGEST_COMMAND_S = 3.0
PATIENCE_S = 60.0
GROWING = ("PointsSaved", "BytesSaved", "ScansSaved")
"""Attributes that never fall as long as the settings stay the same."""
HEARD = ("State", "CurrentScan", "LastFile", "RunningScans", *GROWING)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the scans")
    parser.add_argument("--rate", type=float, default=20.0, help="rounds of points per second")
    asked = parser.parse_args()
    load = Preset(
        "8 scans at once", n_scans=N_SCANS, scalars=4, spectra=1, spectrum_length=1024,
        points=5 * round(asked.rate * asked.seconds), block=5, rate_hz=asked.rate,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with (
            RedisServer(folder / "redis", max_memory_mb=4000) as redis_server,
            TangoDatabase(folder) as database,
        ):
            _register(database, redis_server.url, folder)
            with SaverServer(database, "load", DEVICES["TangoSaver"], folder) as server:
                run = Run(tango.DeviceProxy(server.device), redis_server.url, folder)
                run.carry_out(load, asked.cycles)
    for sentence in run.wrong:
        _tell(f"WRONG: {sentence}")
    _tell("nothing is wrong" if not run.wrong else f"{len(run.wrong)} things are wrong")
    sys.exit(bool(run.wrong))


def _register(database: TangoDatabase, redis_url: str, folder: Path) -> None:
    for device_class, device in DEVICES.items():
        register(
            tango.Database("127.0.0.1", database.port),
            server_instance="TangoSaver/load",
            device=device,
            class_name=device_class,
            properties={
                "session": [SESSION],
                "redis_url": [redis_url],
                "state_directory": [str(folder / "state")],
                "disk_warning": ["0"],
            },
        )


class Run:
    """One run, and what was wrong in it."""

    def __init__(self, saver: tango.DeviceProxy, redis_url: str, folder: Path) -> None:
        self.wrong: list[str] = []
        self._saver = saver
        self._prefix = f"tango://{saver.get_db_host()}:{saver.get_db_port()}"
        self._redis_url = redis_url
        self._folder = folder
        self._hammering = threading.Event()
        self._said: Counter[str] = Counter()
        self._longest_s = 0.0

    def carry_out(self, load: Preset, n_cycles: int) -> None:
        """Publish, cycle and hammer, compare."""
        self._saver.Start()
        events = Events(self._saver, HEARD)
        publisher = self._publisher(load)
        self._wait("eight scans are being saved", lambda: len(self._running()) == N_SCANS)
        self._hammering.set()
        with redis.Redis.from_url(self._redis_url) as client:
            (_, scan), *_ = client.xrange(HISTORY)
        calls_by_class = calls_of(scan[b"key"].decode())
        hammers = [
            threading.Thread(target=self._hammer, args=(DEVICES[device_class], calls))
            for device_class, calls in calls_by_class.items()
        ]
        for hammer in hammers:
            hammer.start()
        started = time.monotonic()
        self._cycle(n_cycles, events)
        took = time.monotonic() - started
        self._hammering.clear()
        for hammer in hammers:
            hammer.join(PATIENCE_S)
            if hammer.is_alive():
                self.wrong.append("a client waits for an answer for a minute")
        if publisher.poll() is not None:
            self.wrong.append("the scans ended before the cycles: give more --seconds")
        _tell(f"{n_cycles} cycles in {took:.0f} s, the longest command {self._longest_s:.3f} s")
        _tell(f"besides: {dict(sorted(self._said.items()))}")
        called = {name.rpartition(" ")[0] for name in self._said}
        never = {name for calls in calls_by_class.values() for name, _, _ in calls} - called
        if never:
            self.wrong.append(f"never called: {sorted(never)}")
        self._saver.Start()
        self._compare(publisher)
        self._look_at(events)
        self._save_one_more()

    def _publisher(self, load: Preset) -> subprocess.Popen[bytes]:
        code = (
            f"import sys, json; sys.path[:0] = {sys.path[:2]!r}\n"
            "from pathlib import Path, PosixPath\nfrom load import Preset, publish, scans_of\n"
            f"load = {load!r}\n"
            f"scans = scans_of(load, {self._folder / 'data'!r})\n"
            f"json.dump(publish({self._redis_url!r}, load, scans), sys.stdout)\n"
        )
        with (self._folder / "manifest.json").open("wb") as output:
            return subprocess.Popen([sys.executable, "-c", code], stdout=output)

    def _cycle(self, n_cycles: int, events: Events) -> None:
        for number in range(n_cycles):
            patient = number % 2 == 0
            for command, state in (("Stop", "MOVING"), ("Init", ""), ("Start", "RUNNING")):
                seen = len(events.of("State"))
                self._command(command)
                if patient and state:
                    self._wait_for_state(state, events, seen, number)

    def _command(self, name: str) -> None:
        before = time.monotonic()
        try:
            self._saver.command_inout(name)
        except tango.DevFailed as error:
            self.wrong.append(f"{name}: {error.args[0].desc}")
        self._longest_s = max(self._longest_s, time.monotonic() - before)

    def _wait_for_state(self, state: str, events: Events, seen: int, number: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while state not in [str(value) for value in events.of("State")[seen:]]:
            if time.monotonic() > deadline:
                told = [str(value) for value in events.of("State")[seen:]]
                self.wrong.append(f"cycle {number}: no event of {state}, but {told}")
                return
            time.sleep(0.002)

    def _hammer(self, device: str, calls: Sequence[Call]) -> None:
        """Call one after the other until told; what may be refused has to be refused in time."""
        client = tango.DeviceProxy(f"{self._prefix}/{device}")
        while self._hammering.is_set():
            for name, call, is_refused in calls:
                before = time.monotonic()
                try:
                    call(client)
                    outcome = "answered"
                    if is_refused:
                        self.wrong.append(f"{name} was not refused")
                except tango.DevFailed as error:
                    outcome = "refused"
                    if not is_refused:
                        self.wrong.append(f"{name}: {error.args[0].desc}")
                self._said[f"{name} {outcome}"] += 1
                self._longest_s = max(self._longest_s, time.monotonic() - before)

    def _compare(self, publisher: subprocess.Popen[bytes]) -> None:
        publisher.wait()
        manifest = json.loads((self._folder / "manifest.json").read_bytes())
        self._wait("all scans are saved", lambda: is_complete(manifest) and not self._running())
        different = list(differences(manifest))
        self.wrong += different
        n_points = sum(scan["n_points"] for scan in manifest["scans"])
        _tell(f"{N_SCANS} scans, {n_points} points of 5 channels each: {len(different)} differ")
        if self._saver.PointsLost:
            self.wrong.append(f"{self._saver.PointsLost} points were lost")

    def _look_at(self, events: Events) -> None:
        for name in GROWING:
            values = events.of(name)
            if values != sorted(values):
                self.wrong.append(f"{name} goes back in its events")
        for name in HEARD:
            self._wait(
                f"the last event of {name} is what the device says",
                lambda name=name: (
                    _plain(events.of(name)[-1]) == _plain(self._saver.read_attribute(name).value)
                ),
            )
        changes = Counter(str(state) for state in events.changes_of("State"))
        _tell(f"events of State: {len(events.of('State'))}, changes {dict(changes)}")

    def _save_one_more(self) -> None:
        n_saved = self._saver.ScansSaved
        preset = PRESETS["canary"]
        scans = scans_of(preset, self._folder / "more", first_number=900)
        manifest = publish(self._redis_url, preset, scans)
        self._wait("one more scan is saved", lambda: self._saver.ScansSaved > n_saved)
        self.wrong += differences(manifest)

    def _running(self) -> Sequence[str]:
        return self._saver.RunningScans or ()

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                self.wrong.append(f"not within {PATIENCE_S:.0f} s: {what}")
                return
            time.sleep(0.02)


Call = tuple[str, Callable[[tango.DeviceProxy], object], bool]
"""Name, what is called, and whether it has to be refused."""


def calls_of(key: str) -> dict[str, Sequence[Call]]:
    """What the clients call, by the class of the device; ``key`` is that of a running scan."""
    return {
        "TangoSaver": (
            ("State", lambda saver: saver.state(), False),
            ("Status", lambda saver: saver.status(), False),
            ("attributes", lambda saver: saver.read_attributes(list(HEARD)), False),
            ("Reset", lambda saver: saver.Reset(), False),
            ("SaveScan", lambda saver: saver.SaveScan(key), False),
            ("StopScan", lambda saver: saver.StopScan("999_nothing"), True),
        ),
        "NexusWriter": (
            ("scan_exists", lambda writer: writer.scan_exists("999_nothing"), False),
            ("scan_state", lambda writer: writer.scan_state("999_nothing"), False),
            ("scan_names", lambda writer: writer.read_attribute("scan_names"), False),
            ("scan_disk_space_error", lambda writer: writer.scan_disk_space_error("1_x"), False),
        ),
    }


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) or hasattr(value, "tolist") else value


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
