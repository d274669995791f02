"""A saver in the test's own process, with real workers, and waiting for what it does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest

from tango_saver.engine.conductor import Conductor
from tango_saver.model.report import ScanReport
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState, SaverStatus

StartSaver = Callable[..., "RunningSaver"]


class RunningSaver:
    """A conductor and everything that it published.

    Args:
        settings: of the conductor.
        listens: whether it is started at once.
    """

    def __init__(self, settings: SaverSettings, *, listens: bool = True) -> None:
        self.settings = settings
        self.published: list[SaverStatus] = []
        self._changed = threading.Condition()
        self.conductor = Conductor(settings, self._take)
        if listens:
            self.conductor.start()

    def _take(self, status: SaverStatus) -> None:
        with self._changed:
            self.published.append(status)
            self._changed.notify_all()

    def wait_for(
        self, holds: Callable[[SaverStatus], object], timeout_s: float = 30.0
    ) -> SaverStatus:
        """Wait until a published status is as wanted; fail after the timeout."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: self.published and holds(self.published[-1]), timeout_s
            ):
                pytest.fail(f"never came true; newest: {self.published[-1:]}")
            return self.published[-1]

    def reports(self, keys: Iterable[str], timeout_s: float = 60.0) -> list[ScanReport]:
        """The reports of these scans in this order, waited for."""
        wanted = list(keys)
        found: dict[str, ScanReport] = {}

        def all_there(_: SaverStatus) -> bool:
            for status in self.published:
                found.update({report.key: report for report in status.finished})
            return all(key in found for key in wanted)

        self.wait_for(all_there, timeout_s)
        return [found[key] for key in wanted]

    def states(self) -> list[SaverState]:
        """The states in the order in which they were published, repetitions left out."""
        with self._changed:
            states = [status.state for status in self.published]
        return [state for i, state in enumerate(states) if not i or states[i - 1] is not state]

    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the workers."""
        return self.conductor._desk._pool.processes()

    def close(self) -> None:
        """End it; its workers must be gone afterwards."""
        self.conductor.shutdown(0)


def points_in(status: SaverStatus) -> int:
    """Points that readers see of the scans that are being saved."""
    return sum(scan.points_saved for scan in status.running)


def worker_of(target: Path) -> psutil.Process:
    """The worker process that holds a file open, waited for."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any(Path(file.path) == target for file in process.open_files()):
                    return process
    pytest.fail(f"no process holds {target}")


def kill_holder(target: Path) -> None:
    """End the worker process that holds a file open, at once and without a word."""
    worker_of(target).kill()
