"""A writer under observation: all processes of its session, seen through /proc (Linux)."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_S = 0.05
_STATE, _SESSION, _TIMES = 0, 3, slice(11, 15)
"""Fields of /proc/PID/stat behind the name of the program."""


class WatchedWriter:
    """Starts a writer in a session of its own and ends it with the ``with`` block."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = command
        self._environment = os.environ | dict(environment or {})
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._ended = threading.Event()
        self._peak = 0

    def __enter__(self) -> Self:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )
        self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._sampler.join()
        if self._process is None:
            return
        self._signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._signal(signal.SIGKILL)
        self._process.wait()

    def hold(self) -> None:
        """Stop every process of the writer, until ``let_go``."""
        self._signal(signal.SIGSTOP)
        while not all(_stat(pid)[_STATE] in ("T", "Z") for pid in self.processes()):
            time.sleep(0.005)

    def let_go(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def processes(self) -> list[int]:
        """Process ids of the writer and all that it started."""
        leader = self.pid
        pids = (int(name.name) for name in Path("/proc").iterdir() if name.name.isdigit())
        return [pid for pid in pids if _session(pid) == leader]

    @property
    def pid(self) -> int:
        """Process id of the program that was started."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the writer ended: {self.log_tail()}")
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time of all processes so far, ended children included."""
        stats = [_stat(pid) for pid in self.processes()]
        return sum(int(ticks) for stat in stats for ticks in stat[_TIMES]) / _TICKS

    def peak_memory_mb(self) -> float:
        """Largest sum of the processes' proportional set sizes since ``forget_peak``."""
        return self._peak / 1e6

    def forget_peak(self) -> None:
        """Measure the memory from now on."""
        self._peak = 0

    def holds_open(self, files: Collection[Path]) -> bool:
        """Whether any process of the writer has a descriptor on one of the files."""
        wanted = {str(file) for file in files}
        return any(target in wanted for pid in self.processes() for target in _descriptors(pid))

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        return self._log.read_text(errors="replace")[-2000:]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            try:
                pids = self.processes()
            except RuntimeError:
                return
            self._peak = max(self._peak, sum(_proportional_set(pid) for pid in pids))


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ["Z"]
    return text.rpartition(")")[2].split()


def _session(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[_SESSION]) if len(stat) > _SESSION else 0


def _descriptors(pid: int) -> list[str]:
    folder = f"/proc/{pid}/fd"
    targets = []
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - called every few milliseconds
            try:
                targets.append(os.readlink(f"{folder}/{name}"))  # noqa: PTH115 - the same
            except OSError:
                continue
    except OSError:
        return targets
    return targets


def _proportional_set(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
