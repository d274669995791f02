"""A saver in processes of its own that can be killed at any instant, and what it leaves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import psutil
import pytest

from tango_saver.engine.memory import Memory, MemoryFile
from tango_saver.model.report import ScanReport
from tango_saver.model.settings import SaverSettings

SERVER = """
import sys, threading
import msgspec
from tango_saver.engine.conductor import Conductor
from tango_saver.model.settings import SaverSettings

settings = msgspec.json.decode(sys.argv[1], type=SaverSettings)
def tell(status):
    sys.stdout.write(status.state.value + "\\n")
    sys.stdout.flush()
conductor = Conductor(settings, tell)
conductor.start()
threading.Event().wait()
"""


class Server:
    """A whole saver: conductor, fork server and workers in a process group of their own.

    Args:
        settings: of the saver.
        environment: variables that its processes get besides.
    """

    def __init__(
        self, settings: SaverSettings, environment: Mapping[str, str] | None = None
    ) -> None:
        self.settings = settings
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, msgspec.json.encode(settings).decode()],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )

    @property
    def pid(self) -> int:
        """Of the conductor's process."""
        return self._process.pid

    def wait_until_it_listens(self) -> None:
        """Wait for its first state that says so."""
        assert self._process.stdout is not None
        while (state := self._process.stdout.readline().strip()) not in ("ON", "RUNNING", "ALARM"):
            assert state, "the saver has ended"

    def family(self) -> list[psutil.Process]:
        """All its processes."""
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]

    def kill(self, *, workers_too: bool = True) -> None:
        """End it at once; without its workers these get to flush and close."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = self.family()
            for process in family if workers_too else family[:1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, 20)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def kill_a_worker(self) -> None:
        """End a worker that holds an HDF5 file open, if there is one."""
        for process in self.family()[1:]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any(file.path.endswith(".h5") for file in process.open_files()):
                    process.send_signal(signal.SIGKILL)
                    return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


def remembered(settings: SaverSettings) -> Memory:
    """What a saver has written down for the next one."""
    path = MemoryFile(settings).path
    if not path.exists():
        return Memory(settings.session, settings.redis_url)
    return msgspec.json.decode(path.read_bytes(), type=Memory)


def wait_for_reports(
    settings: SaverSettings, keys: list[str], timeout_s: float = 60.0
) -> list[ScanReport]:
    """The reports that a saver has written down, once it has all of these."""
    found: dict[str, ScanReport] = {}

    def all_there() -> bool:
        found.update({report.key: report for report in remembered(settings).finished})
        return all(key in found for key in keys)

    wait_until(all_there, timeout_s, lambda: f"{len(found)} of {len(keys)} scans are reported")
    return [found[key] for key in keys]


def wait_until(
    holds: Callable[[], object], timeout_s: float, otherwise: Callable[[], str] = lambda: ""
) -> None:
    """Wait until something is true; fail after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"never came true: {otherwise()}")
        time.sleep(0.01)


def files_below(folder: Path) -> list[Path]:
    """All HDF5 files in a folder, and in those below."""
    return sorted(folder.rglob("*.h5"))
