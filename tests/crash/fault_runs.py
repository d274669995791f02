"""The ground that faults are run on, and what is noted of each."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from crash.live_scan import LiveScan, Relay
from saving import RunningSaver

from tango_saver.demo.redis_server import RedisServer
from tango_saver.model.report import ScanReport
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState, SaverStatus


@dataclass
class Note:
    """One line of the table."""

    group: str
    fault: str
    states: str = ""
    said: str = ""
    """What Status said meanwhile, if anything unusual."""
    report: str = ""
    n_lost: int = 0
    reason: str = ""
    """Of the loss."""
    n_expected_lost: int = 0
    """Points that Redis itself had no more, and that no saver can have."""
    next_scans: str = ""

    @property
    def as_it_should_be(self) -> bool:
        """Only what Redis did not have any more was lost, and later scans were saved."""
        return self.n_lost == self.n_expected_lost and "not" not in self.next_scans


class Ground:
    """A Redis, a folder and a saver for one fault; all of it goes at the end."""

    def __init__(self, folder: Path, note: Note) -> None:
        self.folder = folder
        self.note = note
        self.redis = RedisServer(folder / "redis", max_memory_mb=512)
        self.redis.start()
        self.client = redis.Redis.from_url(self.redis.url)
        self.relay = Relay(self.redis.port)
        self._savers: list[RunningSaver] = []

    def settings(self, **options: Any) -> SaverSettings:
        """Those of a saver behind the relay."""
        return SaverSettings(
            **{
                "session": "*",
                "redis_url": self.relay.url,
                "state_directory": str(self.folder / "state"),
                "redis_timeout_s": 1.0,
                "disk_warning_gb": 0.0,
                "disk_minimum_gb": 0.0,
                **options,
            }
        )

    def saver(self, *, listens: bool = True, **options: Any) -> RunningSaver:
        """A saver in this process, with workers of its own."""
        saver = RunningSaver(self.settings(**options), listens=listens)
        self._savers.append(saver)
        if listens:
            saver.wait_for(lambda status: status.state is SaverState.ON)
        return saver

    def scan(self, name: str = "data.h5", **options: Any) -> LiveScan:
        """A scan that goes to a file in the folder."""
        return LiveScan(self.client, self.folder / "data" / name, **options)

    def told(self, saver: RunningSaver, holds: Callable[[SaverStatus], object]) -> SaverStatus:
        """Wait for a status and keep its words."""
        status = saver.wait_for(holds, 60)
        self.keep_words(status)
        return status

    def keep_words(self, status: SaverStatus) -> None:
        """Note what a status says."""
        said = [line for line in status.status.splitlines() if line.startswith("Look at")]
        self.note.said = self._short(" ".join(said) or status.status.splitlines()[0])

    def judge(
        self, saver: RunningSaver, scan: LiveScan, *, n_expected_lost: int = 0, reason: str = ""
    ) -> ScanReport:
        """The scan is over: note its report, and what of it is in the file."""
        scan.join()
        (report,) = saver.reports([scan.key], 120)
        self.note_report(report, scan, n_expected_lost=n_expected_lost, reason=reason)
        states = [state.value for state in saver.states()]
        self.note.states = " → ".join(states[:6])
        return report

    def note_report(
        self, report: ScanReport, scan: LiveScan, *, n_expected_lost: int = 0, reason: str = ""
    ) -> None:
        """Note a report and compare the file with what was published."""
        self.note.n_lost = scan.n_lost(report.target)
        self.note.n_expected_lost = n_expected_lost
        self.note.reason = reason
        words = "; ".join(filter(None, [report.error, *report.warnings]))
        where = "" if report.target == scan.path else f", in `{Path(report.target).name}`"
        text = f"{report.state.value} ({report.end_reason}){where}{': ' if words else ''}{words}"
        self.note.report = self._short(text)

    def next_scans(self, saver: RunningSaver, name: str = "data.h5") -> None:
        """Note whether the next scans are saved, into the same file and into another."""
        outcome = []
        for label, file in (("same file", name), ("other file", "next.h5")):
            scan = self.scan(file, n_points=5).start()
            scan.join()
            (report,) = saver.reports([scan.key], 60)
            saved = not report.error and scan.n_lost(report.target) == 0
            beside = "" if report.target == scan.path else " (beside it)"
            outcome.append(f"{label}: {'saved' if saved else 'not saved'}{beside}")
        self.note.next_scans = ", ".join(outcome)

    def close(self) -> None:
        """End all."""
        for saver in self._savers:
            saver.close()
        self.relay.cut()
        self.client.close()
        self.redis.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _short(self, text: str) -> str:
        """Without what differs from run to run, and not longer than a table bears."""
        text = text.replace(str(self.folder) + "/", "").replace("data/", "")
        text = re.sub(r"esrf:scan:\w+", "KEY", text)
        text = re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", text)
        text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)
        text = re.sub(r"process \d+", "process N", text)
        text = re.sub(r"of user \w+\) on [\w.-]+", "of user USER) on HOST", text)
        text = re.sub(r"\d{8}T\d{6}", "DATE", text)
        text = text.replace("|", "/").replace("\n", " ")
        return text if len(text) < 420 else f"{text[:400]} …"


Fault = Callable[[Ground], None]


@dataclass
class Faults:
    """A group of faults, in the order of the table."""

    group: str
    runs: list[tuple[str, Fault]] = field(default_factory=list)

    def __call__(self, words: str) -> Callable[[Fault], Fault]:
        """Register a fault."""

        def register(fault: Fault) -> Fault:
            self.runs.append((words, fault))
            return fault

        return register


def wait(seconds: float) -> None:
    """Some faults last for a time."""
    time.sleep(seconds)
