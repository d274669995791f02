"""How fast points become a file, without Redis: ``python tests/benchmarks/sink_speed.py``.

Prints wall and CPU seconds, file size and compression; the file is removed afterwards.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from tango_saver.model.plan import (
    FilePlan,
    Filter,
    Group,
    Node,
    PointKind,
    SoftLink,
    Storage,
    StreamDataset,
    Value,
)
from tango_saver.model.records import FixedPoints
from tango_saver.sink.file import TargetFile

FLUSH_PERIOD_S = 0.25
MCA_CHUNKS = ((4, 4096), (16, 4096), (64, 4096), (16, 1024), (64, 1024), (256, 1024), (64, 256))


@dataclass(frozen=True)
class Load:
    """Equal channels, and the blocks of points that each of them gets."""

    name: str
    n_channels: int
    storage: Storage
    blocks: Sequence[npt.NDArray[Any]]
    flush_every: int = 0
    """Blocks between two flushes; 0 flushes four times a second."""


def spectra(n_points: int) -> npt.NDArray[np.uint32]:
    """Counts of a fluorescence detector: peaks on a falling background, Poisson noise."""
    energy = np.arange(4096)
    mean = 2 + 8 * np.exp(-energy / 1500)
    for height, centre, width in ((60, 900, 30), (200, 2000, 25), (30, 3000, 40)):
        mean += height * np.exp(-(((energy - centre) / width) ** 2))
    return np.random.default_rng(1).poisson(mean, (n_points, 4096)).astype("<u4")


def save(load: Load, path: Path, n_threads: int) -> str:
    """One scan into a new file; the line to print."""
    dtype, shape = load.blocks[0].dtype, load.blocks[0].shape[1:]
    streams = {
        f"c{number}": (
            StreamDataset(
                f"/1.1/c{number}", f"c{number}", PointKind.NUMERIC, dtype, shape, load.storage
            ),
        )
        for number in range(load.n_channels)
    }
    plan = FilePlan(str(path), ("1.1",), nodes=(Group("/1.1"),), streams=streams)
    with ThreadPoolExecutor(n_threads) as executor:
        file = TargetFile.open(path, executor=executor)
        scan = file.begin(plan)
        began, cpu = time.perf_counter(), time.process_time()
        flushed, first = began, 0
        for number, block in enumerate(load.blocks):
            for channel in streams:
                scan.append(channel, first, FixedPoints(block))
            first += len(block)
            due = time.perf_counter() - flushed > FLUSH_PERIOD_S
            if number % load.flush_every == 0 if load.flush_every else due:
                file.flush()
                flushed = time.perf_counter()
        scan.finish(plan)
        file.close()
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    size = path.stat().st_size
    path.unlink()
    return (
        f"{load.name:34} {load.storage.chunk!s:12} {load.storage.filter.name:8}"
        f"{wall:7.2f} s {cpu:6.2f} CPU s {scan.bytes_appended / wall / 1e6:7.0f} MB/s"
        f"{size / 1e6:8.1f} MB  ratio {scan.bytes_appended / size:5.2f}"
    )


def loads() -> Iterator[Load]:
    """1.05 GB of spectra, live and slow; 80 MB of scalars; a step scan at 100 Hz."""
    base = spectra(1000)
    rows = [base[start % 1000 :][:50] for start in range(0, 8000, 50)]
    for chunk in MCA_CHUNKS:
        yield Load("MCA 8 x 4096 x 8000", 8, Storage(chunk, Filter.DEFLATE), rows)
    yield Load("MCA 8 x 4096 x 8000", 8, Storage((16, 4096), Filter.NONE), rows)
    few = [base[start:][:5] for start in range(0, 1000, 5)]
    for chunk in MCA_CHUNKS:
        name = "MCA, flushed every 5 spectra"
        yield Load(name, 8, Storage(chunk, Filter.DEFLATE), few, flush_every=1)
    scalars = [np.random.default_rng(n).poisson(1000, 10_000).astype("f8") for n in range(50)]
    for chunk in ((8192,), (16384,), (65536,)):
        for kind in Filter:
            yield Load("0D 20 x 500000, 10000 at once", 20, Storage(chunk, kind), scalars)
    some = [block[start:][:25] for block in scalars for start in range(0, 400, 25)][:240]
    for chunk in ((8192,), (65536,)):
        name = "0D 30 x 6000, 60 s at 100 Hz"
        yield Load(name, 30, Storage(chunk, Filter.DEFLATE), some, flush_every=1)


def save_small_scans(path: Path, n_scans: int) -> str:
    """Scans of 5 points and 4 channels, one after the other, into one file."""
    points = FixedPoints(np.arange(5.0))
    began, cpu = time.perf_counter(), time.process_time()
    file = TargetFile.open(path)
    for number in range(1, n_scans + 1):
        plan = _small_plan(path, f"{number}.1")
        scan = file.begin(plan)
        for channel in plan.streams:
            scan.append(channel, 0, points)
        scan.finish(plan)
    file.close()
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    size = path.stat().st_size
    path.unlink()
    return (
        f"{n_scans} scans of 5 points, 4 channels: {wall:.2f} s, {cpu:.2f} CPU s, "
        f"{n_scans / wall:.0f} scans/s, {size / n_scans:.0f} bytes per scan"
    )


def _small_plan(path: Path, entry: str) -> FilePlan:
    nodes: list[Node] = [
        Group(f"/{entry}", {"NX_class": "NXentry"}),
        Value(f"/{entry}/title", "ascan robx 0 1 4 0.1"),
        Value(f"/{entry}/start_time", "2026-11-24T18:00:00+01:00"),
        Group(f"/{entry}/instrument", {"NX_class": "NXinstrument"}),
        Group(f"/{entry}/measurement", {"NX_class": "NXcollection"}),
    ]
    streams = {}
    for number in range(4):
        detector = f"/{entry}/instrument/d{number}"
        nodes.append(Group(detector, {"NX_class": "NXdetector"}))
        link = SoftLink(f"/{entry}/measurement/d{number}", f"{detector}/data")
        streams[f"d{number}"] = (
            StreamDataset(
                f"{detector}/data",
                f"d{number}",
                PointKind.NUMERIC,
                np.dtype("f8"),
                (),
                Storage((5,)),
                companions=(link,),
            ),
        )
    last = (Value(f"/{entry}/end_time", "2026-11-24T18:00:01+01:00"),)
    return FilePlan(str(path), (entry,), {}, tuple(nodes), streams, last)


def best_of(n_times: int, run: Callable[[], str]) -> None:
    """Print each; the reader takes the best."""
    for _ in range(n_times):
        print(run(), flush=True)  # noqa: T201 - a benchmark's result


def main() -> None:
    """Run all loads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--folder", help="where the files are written")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "data.h5"
        for load in loads():
            best_of(options.times, lambda load=load: save(load, path, options.threads))
        best_of(options.times, lambda: save_small_scans(path, 500))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB")  # noqa: T201 - a benchmark's result


if __name__ == "__main__":
    main()
