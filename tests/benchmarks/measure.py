"""One measurement: one writer saves one load from an empty Redis, and all is compared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from load import PRESETS, Preset, manifest, publish, scans_of
from read_back import is_complete
from scan_document import ScanLoad
from watched import WatchedWriter

from tango_saver.demo.redis_server import RedisServer

_HERE = Path(__file__).parent
_POLL_S = 0.01
_SETTLE_S = 1.0
"""What a writer does after its first scan (start another process) is none of the load's."""
_LIVE_AFTER_S = 3.0
"""How long after the last of many scans started all of them must show points."""


@dataclass(frozen=True, slots=True)
class Writer:
    """A program that saves scans."""

    name: str
    command: Callable[[str], Sequence[str]]
    """From the URL of Redis to the command line."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one run; see README.md for what each of them means."""

    writer: str
    preset: str
    figures: Mapping[str, float]
    differences: list[str] = field(default_factory=list)
    note: str = ""
    """What the writer complained of."""
    complete: bool = True
    """Whether every file was complete in time and every value equal."""


def measure(writer: Writer, name: str, folder: Path, *, points: int, timeout_s: float) -> Measured:
    """Let a writer save a load.

    Args:
        writer: is started for this alone and ended.
        name: of the preset.
        folder: made anew and removed at the end.
        points: per channel, 0 for the preset's own.
        timeout_s: longest wait for complete files after all was published.
    """
    preset = PRESETS[name]
    if points:
        preset = replace(preset, points=points)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    try:
        with RedisServer(folder / "redis", max_memory_mb=8000) as server:
            state = {"XDG_STATE_HOME": str(folder / "state")}
            command = writer.command(server.url)
            with WatchedWriter(command, folder / "writer.log", state) as watched:
                _wait_until_ready(watched, server.url, folder / "canary")
                return _saved(watched, writer, name, preset, server.url, folder, timeout_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(watched: WatchedWriter, url: str, folder: Path) -> None:
    """Publish small scans until one is saved: the writer listens, and nobody else does."""
    for number in range(9001, 9021):
        scans = scans_of(PRESETS["canary"], folder, number)
        expected = publish(url, PRESETS["canary"], scans)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if _is_saved(watched, scans, expected):
                time.sleep(_SETTLE_S)
                return
            time.sleep(0.05)
    raise RuntimeError(f"the writer saves nothing: {watched.log_tail()}")


def _is_saved(watched: WatchedWriter, scans: Sequence[ScanLoad], expected: dict[str, Any]) -> bool:
    files = {scan.path for scan in scans}
    return (
        all(file.exists() for file in files)
        and not watched.holds_open(files)
        and is_complete(expected)
    )


def _saved(
    watched: WatchedWriter,
    writer: Writer,
    name: str,
    preset: Preset,
    url: str,
    folder: Path,
    timeout_s: float,
) -> Measured:
    scans = scans_of(preset, folder / "data")
    watched.forget_peak()
    idle_cpu = watched.cpu_seconds()
    if preset.catch_up:
        watched.hold()
        expected = publish(url, preset, scans)
        started = time.monotonic()
        watched.let_go()
        note = _wait_until_saved(watched, scans, expected, timeout_s)
        wall = time.monotonic() - started
        cpu = watched.cpu_seconds() - idle_cpu
        seen: dict[str, Any] = {}
    else:
        with _watching(scans, folder, 0.02 if preset.n_scans == 1 else 0.5) as seen:
            expected = publish(url, preset, scans)
            started = expected["closed"]
            note = _wait_until_saved(watched, scans, expected, timeout_s)
            wall = time.monotonic() - started
            cpu = watched.cpu_seconds() - idle_cpu
    megabytes = _megabytes(scans, expected)
    figures = {
        "wall_s": wall,
        "mb_per_s": megabytes / wall,
        "cpu_s": cpu,
        "cpu_s_per_gb": cpu / megabytes * 1000,
        "peak_memory_mb": watched.peak_memory_mb(),
        "file_mb": _file_megabytes(scans),
        "megabytes": megabytes,
    } | _visibility_figures(seen, expected)
    if preset.catch_up and preset.n_scans > 1:
        figures["scans_per_s"] = preset.n_scans / wall
    differences = _read_back(expected, folder)
    return Measured(
        writer=writer.name,
        preset=name,
        figures=figures,
        differences=differences,
        note=note or _errors(watched),
        complete=not differences and not note,
    )


def _wait_until_saved(
    watched: WatchedWriter,
    scans: Sequence[ScanLoad],
    expected: dict[str, Any],
    timeout_s: float,
) -> str:
    deadline = time.monotonic() + timeout_s
    while not _is_saved(watched, scans, expected):
        if time.monotonic() > deadline:
            return f"not complete after {timeout_s:.0f} s: {watched.log_tail()}"
        time.sleep(_POLL_S)
    return ""


def _errors(watched: WatchedWriter) -> str:
    lines = [line for line in watched.log_tail().splitlines() if "ERROR" in line]
    return lines[0] if lines else ""


def _megabytes(scans: Sequence[ScanLoad], expected: dict[str, Any]) -> float:
    points = {scan["key"]: scan["n_points"] for scan in expected["scans"]}
    return (
        sum(
            points[scan.key] * channel.dtype.itemsize * max(1, channel.spectrum_length)
            for scan in scans
            for channel in scan.channels
        )
        / 1e6
    )


def _file_megabytes(scans: Sequence[ScanLoad]) -> float:
    files = {scan.path for scan in scans}
    return sum(file.stat().st_size for file in files if file.exists()) / 1e6


def _read_back(expected: dict[str, Any], folder: Path) -> list[str]:
    path = folder / "manifest.json"
    path.write_text(json.dumps(expected))
    command = [sys.executable, str(_HERE / "read_back.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    return lines or ([done.stderr[-500:]] if done.returncode else [])


@contextmanager
def _watching(scans: Sequence[ScanLoad], folder: Path, period_s: float) -> Iterator[dict[str, Any]]:
    """A reader in another process; its findings are in the yielded mapping at the end."""
    expected, result = folder / "watch.json", folder / "seen.json"
    content = manifest(scans, {scan.key: scan.n_points for scan in scans})
    expected.write_text(json.dumps(content))
    command = [
        sys.executable, str(_HERE / "visibility.py"), str(expected), str(result), str(period_s),
    ]  # fmt: skip
    found: dict[str, Any] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE) as reader:
        time.sleep(2.0)
        yield found
        if reader.stdin is not None:
            reader.stdin.close()
        reader.wait(60)
    found |= json.loads(result.read_text())


def _visibility_figures(seen: dict[str, Any], expected: dict[str, Any]) -> dict[str, float]:
    if not seen:
        return {}
    figures: dict[str, float] = {
        "failed_opens": seen["not_opened"],
        "wrong_values": seen["wrong_values"],
    }
    latencies = []
    live = set()
    for scan in expected["scans"]:
        published = np.array(expected["times"].get(scan["key"], ()))
        for channel in scan["channels"]:
            series = seen["seen"].get(f"{scan['key']}/{channel['name']}", [])
            if series and series[0][0] < expected["started"] + _LIVE_AFTER_S:
                live.add(scan["key"])
            if len(published):
                latencies.append(_latencies(published, series))
    if len(expected["scans"]) > 1:
        figures["live_after_3_s"] = len(live)
    if latencies:
        late = np.concatenate(latencies)
        figures |= {
            "visible_p50_s": float(np.percentile(late, 50)),
            "visible_p99_s": float(np.percentile(late, 99)),
            "visible_max_s": float(late.max()),
        }
    return figures


def _latencies(published: np.ndarray, series: list[tuple[float, int]]) -> np.ndarray:
    """How long each point took; infinite for one that never became visible."""
    moments = np.array([moment for moment, _ in series] + [np.inf])
    lengths = np.array([length for _, length in series])
    first_shown = np.searchsorted(lengths, np.arange(len(published)), side="right")
    return moments[first_shown] - published
