"""Publishes the scans of a load, as a BLISS session does, and says exactly what and when.

    python load.py --redis redis://localhost:6379 --folder DIR --preset catchup

The manifest (JSON) names every scan, file and channel with its number of points; the
publication times of live loads are in it too. Points are sent with one pipelined XADD per
channel and round, so that the load is not bounded by its generator.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import redis
from scan_document import ScanLoad, document
from values import ChannelLoad

from tango_saver.demo.publisher import HISTORY
from tango_saver.model.scan import ScanState

SESSION = "load"
_HISTORY_LENGTH = 2048
_PREPARATION_S = 0.15
"""What an ascan of BLISS takes from CREATED to PREPARED."""
_PIPELINE_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Preset:
    """What a load consists of."""

    about: str
    n_scans: int = 1
    scalars: int = 0
    spectra: int = 0
    spectrum_length: int = 4096
    points: int = 0
    """Per channel."""
    block: int = 1
    """Points of a channel that are published together."""
    rate_hz: float = 0.0
    """Blocks per second and scan; 0 flat out."""
    seconds: float = 0.0
    """A flat out load ends after this time, ``points`` is its bound; 0: after ``points``."""
    longest: float = 1.0
    """The scans' lengths grow from ``points`` for the first to so many times that for the last."""
    one_file: bool = False
    """All scans into one file, or each into its own."""
    catch_up: bool = False
    """The writer is held back until all is published and closed."""


PRESETS = {
    "catchup": Preset(
        "80 MB of scalars of a closed scan",
        scalars=10, points=1_000_000, block=10_000, catch_up=True,
    ),
    "catchupmca": Preset(
        "1.05 GB of spectra of a closed scan",
        spectra=8, points=8000, catch_up=True,
    ),
    "step": Preset(
        "a step scan at 100 Hz",
        scalars=4, spectra=1, points=3000, rate_hz=100.0,
    ),
    "many": Preset(
        "500 closed scans of 5 points in one file",
        n_scans=500, scalars=4, points=5, catch_up=True, one_file=True,
    ),
    "hundred": Preset(
        "100 scans at once, 10 to 16 s long",
        n_scans=100, scalars=4, points=100, rate_hz=10.0, longest=1.6,
    ),
    "parallel8": Preset(
        "8 scans at once, flat out for 10 s",
        n_scans=8, scalars=4, spectra=1, points=20_000, block=10, seconds=10.0,
    ),
    "canary": Preset("a sign that a writer is ready", scalars=2, points=3, rate_hz=100.0),
}  # fmt: skip


def scans_of(preset: Preset, folder: Path, first_number: int = 1) -> list[ScanLoad]:
    """The scans of a load, their files below ``folder``."""
    scans = []
    for index in range(preset.n_scans):
        offset = 1000 * index
        channels = [
            ChannelLoad(f"diodes:c{number}", 0, offset + 17 * number)
            for number in range(preset.scalars)
        ] + [
            ChannelLoad(f"mca:s{number}", preset.spectrum_length, offset + 29 * number)
            for number in range(preset.spectra)
        ]
        stretch = 1 + (preset.longest - 1) * index / max(1, preset.n_scans - 1)
        number = first_number + index
        scans.append(
            ScanLoad(
                number=number,
                path=folder / ("data.h5" if preset.one_file else f"data{number:04d}.h5"),
                n_points=round(preset.points * stretch),
                channels=tuple(channels),
                session=SESSION,
            )
        )
    return scans


class Publisher:
    """One connection that publishes scans."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def states(self, scans: Sequence[ScanLoad], *states: ScanState) -> None:
        """Publish one state after the other, of all scans."""
        for state in states:
            for scan in scans:
                self._state(scan, state)

    def _state(self, scan: ScanLoad, state: ScanState) -> None:
        content = document(
            scan,
            prepared=state >= ScanState.PREPARED,
            closed=state is ScanState.CLOSED,
        )
        with self._client.pipeline(transaction=True) as transaction:
            transaction.execute_command("JSON.SET", scan.key, ".", json.dumps(content))
            if state is ScanState.CREATED:
                transaction.xadd(HISTORY, {"key": scan.key}, maxlen=_HISTORY_LENGTH)
            transaction.xadd(scan.state_stream, {"state": int(state)})
            transaction.execute()

    def blocks(self, blocks: Iterable[tuple[ScanLoad, int, int]]) -> None:
        """Publish points ``first`` to ``stop`` of every channel of scans, in one pipeline."""
        with self._client.pipeline(transaction=False) as pipeline:
            waiting = 0
            for scan, first, stop in blocks:
                for channel in scan.channels:
                    payload = channel.values(first, stop).tobytes()
                    extent = ("len", stop - first) if stop - first > 1 else ()
                    pipeline.execute_command(
                        "XADD", scan.stream(channel), f"{first}-1", "payload", payload, *extent
                    )
                    waiting += len(payload)
                if waiting > _PIPELINE_BYTES:
                    pipeline.execute()
                    waiting = 0
            pipeline.execute()

    def seal(self, scans: Iterable[ScanLoad]) -> None:
        """Say of every channel that no point comes any more."""
        with self._client.pipeline(transaction=False) as pipeline:
            for scan in scans:
                for channel in scan.channels:
                    pipeline.fcall("seal_stream", 1, scan.stream(channel))
            pipeline.execute()


def publish(url: str, preset: Preset, scans: Sequence[ScanLoad]) -> dict[str, Any]:
    """Publish a whole load; returns its manifest."""
    publisher = Publisher(url)
    started = time.monotonic()
    if preset.catch_up:
        publisher.states(scans, ScanState.CREATED, ScanState.PREPARED, ScanState.STARTED)
        for scan in scans:
            publisher.blocks(_blocks(scan, preset.block))
        published, times = {scan.key: scan.n_points for scan in scans}, {}
    else:
        publisher.states(scans, ScanState.CREATED)
        time.sleep(_PREPARATION_S)
        publisher.states(scans, ScanState.PREPARED, ScanState.STARTED)
        started = time.monotonic()
        live = _flat_out if preset.seconds else _paced
        published, times = live(publisher, preset, scans)
    if preset.catch_up or preset.seconds:
        _end(publisher, scans)
    publisher.close()
    return manifest(scans, published) | {
        "started": started,
        "closed": time.monotonic(),
        "times": times,
    }


def manifest(scans: Sequence[ScanLoad], published: dict[str, int]) -> dict[str, Any]:
    """What a checker must find in the files."""
    return {
        "scans": [
            {
                "key": scan.key,
                "file": str(scan.path),
                "entry": scan.entry,
                "n_points": published[scan.key],
                "channels": [
                    {
                        "name": channel.name,
                        "spectrum_length": channel.spectrum_length,
                        "offset": channel.offset,
                    }
                    for channel in scan.channels
                ],
            }
            for scan in scans
        ]
    }


def _end(publisher: Publisher, scans: Sequence[ScanLoad]) -> None:
    publisher.states(scans, ScanState.STOPPED)
    publisher.seal(scans)
    publisher.states(scans, ScanState.CLOSED)


def _blocks(scan: ScanLoad, block: int) -> Iterator[tuple[ScanLoad, int, int]]:
    for first in range(0, scan.n_points, block):
        yield scan, first, min(first + block, scan.n_points)


def _flat_out(
    publisher: Publisher, preset: Preset, scans: Sequence[ScanLoad]
) -> tuple[dict[str, int], dict[str, list[float]]]:
    deadline = time.monotonic() + preset.seconds
    n_points = 0
    while n_points < preset.points and time.monotonic() < deadline:
        stop = n_points + preset.block
        publisher.blocks((scan, n_points, stop) for scan in scans)
        n_points = stop
    return {scan.key: n_points for scan in scans}, {}


def _paced(
    publisher: Publisher, preset: Preset, scans: Sequence[ScanLoad]
) -> tuple[dict[str, int], dict[str, list[float]]]:
    """One block of every scan per tick; a scan is closed as soon as it has all its points."""
    times: dict[str, list[float]] = {scan.key: [] for scan in scans}
    running = list(scans)
    started = time.monotonic()
    for tick in count():
        time.sleep(max(0.0, started + tick / preset.rate_hz - time.monotonic()))
        first = tick * preset.block
        ended = [scan for scan in running if first >= scan.n_points]
        if ended:
            _end(publisher, ended)
            running = [scan for scan in running if first < scan.n_points]
        if not running:
            return {scan.key: scan.n_points for scan in scans}, times
        moment = time.monotonic()
        stops = {scan.key: min(first + preset.block, scan.n_points) for scan in running}
        publisher.blocks((scan, first, stops[scan.key]) for scan in running)
        for scan in running:
            times[scan.key] += [moment] * (stops[scan.key] - first)
    raise AssertionError  # count() has no end


def main() -> None:
    """Publish a preset from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--redis", required=True, help="URL of the database")
    parser.add_argument("--folder", required=True, type=Path, help="where the data files go")
    parser.add_argument("--preset", required=True, choices=sorted(PRESETS))
    parser.add_argument("--points", type=int, help="points per channel instead of the preset's")
    parser.add_argument("--first-number", type=int, default=1)
    options = parser.parse_args()
    preset = PRESETS[options.preset]
    if options.points:
        preset = replace(preset, points=options.points)
    scans = scans_of(preset, options.folder, options.first_number)
    json.dump(publish(options.redis, preset, scans), sys.stdout)


if __name__ == "__main__":
    main()
