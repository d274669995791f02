"""One run of the embedded beamline: servers up, scans published and saved, files checked."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tango
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.tree import Tree

from tango_saver.control.register import register
from tango_saver.demo import bliss1
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.publisher import published_channels, replay
from tango_saver.demo.redis_server import RedisServer
from tango_saver.errors import ConfigurationError, EngineError
from tango_saver.sink.verify import difference, tree

_SESSION = "demo_session"
_DEVICE = "demo/tango_saver/1"
_SAVE_TIMEOUT_S = 30.0
_WATCHED = ("State", "CurrentScan", "LastFile", "ScansSaved", "ScanProgress")


@dataclass(frozen=True, slots=True)
class DemoScan:
    """One recording of the demonstration."""

    recording: str
    what: str
    file: str


STEPS: tuple[tuple[DemoScan, ...], ...] = (
    (DemoScan("ascan", "a step scan: motor, timer, diodes", "step.h5"),),
    (DemoScan("mca", "a fluorescence scan: four detectors with their spectra", "mca.h5"),),
    (
        DemoScan("parallel", "three scans at once into one file", "parallel.h5"),
        DemoScan("long_flat", "a continuous scan of 30,000 points", "long.h5"),
        DemoScan("loopscan_modes", "a loopscan with counting statistics", "modes.h5"),
    ),
)
"""The scans of one step are published side by side."""
STEPS_BLISS1: tuple[tuple[DemoScan, ...], ...] = tuple(
    tuple(DemoScan(name, what, bliss1.file_name(name)) for name, what in step)
    for step in (
        (("ascan", "a step scan: motor, timer, diodes"),),
        (("mca", "a fluorescence scan: four detectors with their spectra"),),
        (
            ("parallel", "three scans at once into one file"),
            ("multitop", "a scan with two independent timers"),
            ("sequence", "a sequence of three scans"),
            ("timescan", "a scan without an end, aborted"),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class _Generation:
    """What depends on the BLISS that is demonstrated."""

    name: str
    steps: tuple[tuple[DemoScan, ...], ...]
    example: str
    """Where the first scan has a channel to look at."""

    def recording(self, scan: DemoScan) -> Path:
        """File of a recording."""
        suffix = "jsonl.gz" if self.name == "1" else "json.gz"
        return recordings_folder().with_name(f"bliss{self.name}") / f"{scan.recording}.{suffix}"

    def publish(self, scan: DemoScan, redis_url: str, data: Path, speed: float) -> list[str]:
        """Publish one recording."""
        recording = self.recording(scan)
        if self.name == "1":
            return bliss1.publish(recording, redis_url, data, speed, _SESSION)
        return replay(recording, redis_url, data, speed=speed, session=_SESSION, file=scan.file)

    def published(self, scan: DemoScan) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Dataset and values of every channel of a recording."""
        if self.name == "1":
            for points in bliss1.published_points(self.recording(scan)):
                yield points.dataset, points.values
        else:
            for channel in published_channels(self.recording(scan)):
                yield channel.dataset, channel.values


GENERATIONS = {
    "1": _Generation("1", STEPS_BLISS1, "1_ascan/measurement/axis:robx"),
    "2": _Generation("2", STEPS, "1.1/measurement/diode"),
}


def recordings_folder() -> Path:
    """Where the recordings lie: beside the installed package, or in the source tree.

    Raises:
        ConfigurationError: in neither.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "recordings", here.parent.parent / "resources" / "recordings"):
        if (folder / "bliss2").is_dir():
            return folder / "bliss2"
    raise ConfigurationError("the recorded scans of the demonstration are not installed")


def run_demo(output: Path | None, speed: float, bliss: str = "2") -> bool:
    """Save the demonstration's scans and compare every point with what was published.

    Args:
        output: folder that keeps the files; None to remove them at the end.
        speed: 1 for the recorded pace, 0 for flat out.
        bliss: generation of BLISS, 1 or 2.

    Returns:
        whether every point in the files equals what was published.

    Raises:
        ConfigurationError: a server does not start, or there is no such generation.
        EngineError: the scans were not saved in time.
    """
    console = Console()
    if bliss not in GENERATIONS:
        raise ConfigurationError(f"no BLISS {bliss!r} is recorded", advice="Use 1 or 2")
    shown = GENERATIONS[bliss]
    with tempfile.TemporaryDirectory(prefix="tango_saver_demo_") as temporary:
        data = (output or Path(temporary) / "data").resolve()
        data.mkdir(parents=True, exist_ok=True)
        _require_empty(data, shown)
        with _beamline(console, Path(temporary), shown) as (redis_url, saver):
            _save_scans(console, saver, redis_url, data, speed, shown)
        differences, n_values = _compare(data, shown)
        for text in differences:
            console.print(f"[red]different:[/] {text}")
        if not differences:
            console.print(f"[green]every value is equal:[/] {n_values} of {n_values} compared")
        _show_file(console, data / shown.steps[0][0].file)
        _explain_opening(console, data, shown, kept=output is not None)
    return not differences


def _require_empty(folder: Path, shown: _Generation) -> None:
    taken = [scan.file for step in shown.steps for scan in step if (folder / scan.file).exists()]
    if taken:
        raise ConfigurationError(
            f"{folder} has {', '.join(taken)} already",
            advice="Nothing is ever overwritten: name an empty folder",
        )


@contextmanager
def _beamline(
    console: Console, folder: Path, shown: _Generation
) -> Iterator[tuple[str, tango.DeviceProxy]]:
    """All servers of a beamline; yields the URL of Redis and the saver's proxy."""
    modules = shown.name != "1"
    with (
        RedisServer(folder / "redis", modules=modules) as redis_server,
        TangoDatabase(folder) as database,
    ):
        console.print(f"Redis (valkey{', RedisJSON' * modules}) at {redis_server.url}")
        console.print(f"Tango database at {database.host}")
        register(
            tango.Database("127.0.0.1", database.port),
            server_instance="TangoSaver/demo",
            device=_DEVICE,
            properties={
                "session": [_SESSION],
                "redis_url": [redis_server.url],
                "bliss": [shown.name],
                "state_directory": [str(folder / "state")],
                "auto_start": ["false"],
            },
        )
        with SaverServer(database, "demo", _DEVICE, folder) as server:
            console.print(f"device server TangoSaver/demo, device {_DEVICE}")
            yield redis_server.url, tango.DeviceProxy(server.device)


class _EventView:
    """Shows the device's events as they arrive, and a bar for each running scan."""

    def __init__(self, console: Console, saver: tango.DeviceProxy) -> None:
        self._bars = Progress(
            TextColumn("  {task.description:<20}"),
            BarColumn(40),
            TextColumn("{task.percentage:>3.0f} %"),
            console=console,
        )
        self._console = console
        self._saver = saver
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._shown: dict[str, Any] = {}
        self._subscriptions: list[int] = []

    def __enter__(self) -> None:
        self._bars.start()
        self._subscriptions = [
            self._saver.subscribe_event(
                name, tango.EventType.CHANGE_EVENT, partial(self._show, name)
            )
            for name in _WATCHED
        ]

    def __exit__(self, *_: object) -> None:
        for subscription in self._subscriptions:
            self._saver.unsubscribe_event(subscription)
        self._bars.stop()

    def _show(self, name: str, event: tango.EventData) -> None:
        if event.err or event.attr_value is None:
            return
        value = event.attr_value.value
        if name == "ScanProgress":
            self._advance(value)
        elif value != "" and value != self._shown.get(name):
            self._shown[name] = value
            self._console.print(f"  event  {name:<12} {value}", highlight=False)

    def _advance(self, percent: Any) -> None:
        with self._lock:
            scans = list(self._saver.RunningScans or ())
            for scan in scans:
                if scan not in self._tasks:
                    self._tasks[scan] = self._bars.add_task(scan, total=100)
            for scan, value in zip(scans, percent, strict=False):
                self._bars.update(self._tasks[scan], completed=value)
            for scan in set(self._tasks) - set(scans):
                self._bars.update(self._tasks[scan], completed=100)


def _save_scans(
    console: Console,
    saver: tango.DeviceProxy,
    redis_url: str,
    data: Path,
    speed: float,
    shown: _Generation,
) -> None:
    with _EventView(console, saver):
        saver.Start()
        _wait_until(lambda: saver.state() == tango.DevState.ON, "the saver does not listen", saver)
        published = 0
        for step in shown.steps:
            for scan in step:
                console.print(f"[bold]{scan.what}[/] → {scan.file}")
            published += len(_publish(step, redis_url, data, speed, shown))
        _wait_until(
            lambda total=published: saver.ScansSaved + saver.ScansFailed >= total,
            "not every scan was saved",
            saver,
        )
        saver.Stop()
        _wait_until(lambda: saver.state() == tango.DevState.OFF, "the saver does not stop", saver)


def _publish(
    step: Sequence[DemoScan], redis_url: str, data: Path, speed: float, shown: _Generation
) -> list[str]:
    def publish(scan: DemoScan) -> list[str]:
        return shown.publish(scan, redis_url, data, speed)

    with ThreadPoolExecutor(len(step)) as pool:
        return [key for keys in pool.map(publish, step) for key in keys]


def _wait_until(condition: Any, complaint: str, saver: tango.DeviceProxy) -> None:
    deadline = time.monotonic() + _SAVE_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise EngineError(f"{complaint}: {saver.status()}")
        time.sleep(0.05)


def _compare(data: Path, shown: _Generation) -> tuple[list[str], int]:
    """All points of all files against the recordings: the differences, and how many values."""
    differences, n_values = [], 0
    for scan in (scan for step in shown.steps for scan in step):
        for dataset, values in shown.published(scan):
            text = difference(data / scan.file, dataset, values)
            if text:
                differences.append(f"{scan.file}: {text}")
            n_values += values.size
    return differences, n_values


def _show_file(console: Console, file: Path) -> None:
    branches = [Tree(f"[bold]{file.name}[/]")]
    for line in tree(file):
        del branches[line.depth + 1 :]
        branches.append(branches[-1].add(f"{line.name} [dim]{line.text}[/]", highlight=False))
    console.print(branches[0])


def _explain_opening(console: Console, data: Path, shown: _Generation, *, kept: bool) -> None:
    folder, file = str(data) if kept else "FOLDER", shown.steps[0][0].file
    if kept:
        console.print(f"The files are in {folder}. Open one, also while its scan runs:")
    else:
        console.print("The files are removed now; --output FOLDER keeps them. Open one with:")
    code = (
        f"import h5py; f = h5py.File('{folder}/{file}', locking=False);"
        f" print(f['{shown.example}'][:])"
    )
    hint = "pip install 'silx[full]'"
    console.print(f"  silx view {folder}/{file}     # {hint}", highlight=False, markup=False)
    console.print(f'  python -c "{code}"', highlight=False, soft_wrap=True)
