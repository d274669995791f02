"""Many short scans flat out through the device server: memory, descriptors, time, every value.

    python tests/benchmarks/soak.py --scans 20000

Real parts: a Tango database, the device server as a process, Redis. A batch of scans is
published at once into one file, and saved before the next one begins; every value is compared.
Ends with 1 if a value differs, a scan is missing, or after the warm-up (a fifth of the scans)
the memory of a process grew by more than 5 %, its descriptors at all, or a batch takes longer
by more than a fifth, each as the median of the last fifth against the median of the second.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import redis
import tango
from load import PRESETS, SESSION, publish, scans_of
from read_back import differences
from scan_document import ScanLoad

from tango_saver.control.register import register
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.redis_server import RedisServer

_DEVICE = "load/tango_saver/1"
_BATCH = 100
_SAVE_TIMEOUT_S = 120.0
_MEMORY_GROWTH = 1.05
_TIME_GROWTH = 1.2


@dataclass(frozen=True, slots=True)
class Sample:
    """After one batch."""

    took_s: float
    memory_mb: dict[str, float]
    """Resident memory of each kind of process; of several, the largest."""
    descriptors: dict[str, int]
    n_workers: int


def main() -> int:
    """Save, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=20_000)
    options = parser.parse_args()
    samples: list[Sample] = []
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as temporary,
        RedisServer(Path(temporary) / "redis", max_memory_mb=8000) as redis_server,
        TangoDatabase(Path(temporary)) as database,
    ):
        _register(database, redis_server.url, temporary)
        with SaverServer(database, "load", _DEVICE, Path(temporary)) as server:
            saver = tango.DeviceProxy(server.device)
            saver.Start()
            for batch in range(options.scans // _BATCH):
                sample, differ = _batch(batch, saver, server.pid, redis_server.url, temporary)
                samples.append(sample)
                wrong += differ
                if batch % 10 == 9:
                    _tell((batch + 1) * _BATCH, sample)
            sys.stdout.write(f"{saver.ScansSaved} scans saved, {saver.ScansFailed} failed\n")
    sys.stdout.writelines(f"{line}\n" for line in wrong[:20])
    grown = _judge(samples)
    sys.stdout.write("values differ\n" if wrong else "all values equal\n")
    return 1 if wrong or grown else 0


def _register(database: TangoDatabase, redis_url: str, folder: str) -> None:
    register(
        tango.Database("127.0.0.1", database.port),
        server_instance="TangoSaver/load",
        device=_DEVICE,
        properties={
            "session": [SESSION],
            "redis_url": [redis_url],
            "state_directory": [f"{folder}/state"],
            "auto_start": ["false"],
        },
    )


def _batch(
    batch: int, saver: tango.DeviceProxy, pid: int, redis_url: str, folder: str
) -> tuple[Sample, list[str]]:
    """Publish, wait, compare, and clear away; what it took, and what is wrong in the file."""
    preset = replace(PRESETS["many"], n_scans=_BATCH)
    scans = [
        replace(scan, path=Path(folder) / "data" / f"data{batch:05}.h5")
        for scan in scans_of(preset, Path(folder) / "data", 1 + batch * _BATCH)
    ]
    expected = (batch + 1) * _BATCH
    started = time.monotonic()
    manifest = publish(redis_url, preset, scans)
    while saver.ScansSaved + saver.ScansFailed < expected:
        if time.monotonic() > started + _SAVE_TIMEOUT_S:
            raise SystemExit(f"not every scan was saved: {saver.status()}")
        time.sleep(0.02)
    sample = _sample(time.monotonic() - started, psutil.Process(pid))
    wrong = list(differences(manifest))
    _forget(scans, redis_url)
    scans[0].path.unlink(missing_ok=True)
    return sample, wrong


def _forget(scans: Sequence[ScanLoad], redis_url: str) -> None:
    """As BLISS does some time after a scan."""
    keys = [
        key
        for scan in scans
        for key in (scan.key, scan.state_stream, *map(scan.stream, scan.channels))
    ]
    with redis.Redis.from_url(redis_url) as client:
        client.unlink(*keys)


def _sample(took_s: float, server: psutil.Process) -> Sample:
    memory: dict[str, float] = {}
    descriptors: dict[str, int] = {}
    n_workers = 0
    for process in (server, *server.children(recursive=True)):
        try:
            kind = "device server" if process == server else _kind(process)
            size = process.memory_info().rss / 1e6
            n_open = process.num_fds()
        except psutil.NoSuchProcess:
            continue
        n_workers += kind == "worker"
        memory[kind] = max(memory.get(kind, 0.0), size)
        descriptors[kind] = max(descriptors.get(kind, 0), n_open)
    return Sample(took_s, memory, descriptors, n_workers)


def _kind(process: psutil.Process) -> str:
    if any("resource_tracker" in word for word in process.cmdline()):
        return "resource tracker"
    return "fork server" if process.children() else "worker"


def _tell(n_scans: int, sample: Sample) -> None:
    parts = ", ".join(
        f"{kind} {size:.1f} MB {sample.descriptors[kind]} descriptors"
        for kind, size in sorted(sample.memory_mb.items())
    )
    sys.stdout.write(
        f"{n_scans:6}: {sample.took_s:.2f} s for {_BATCH}, {sample.n_workers} workers; {parts}\n"
    )
    sys.stdout.flush()


def _judge(samples: Sequence[Sample]) -> bool:
    """Print the first against the last; whether anything grew."""
    fifth = max(1, len(samples) // 5)
    early, late = samples[fifth : 2 * fifth] or samples, samples[-fifth:]
    grown = False
    for kind in sorted(early[-1].memory_mb):
        memory = [
            statistics.median(sample.memory_mb.get(kind, 0.0) for sample in some)
            for some in (early, late)
        ]
        descriptors = [
            statistics.median(sample.descriptors.get(kind, 0) for sample in some)
            for some in (early, late)
        ]
        grew = memory[1] > memory[0] * _MEMORY_GROWTH or descriptors[1] > descriptors[0]
        grown |= grew
        sys.stdout.write(
            f"{kind}: {memory[0]:.1f} -> {memory[1]:.1f} MB,"
            f" {descriptors[0]:g} -> {descriptors[1]:g} descriptors{'  GREW' * grew}\n"
        )
    took = [statistics.median(sample.took_s for sample in some) for some in (early, late)]
    slower = took[1] > took[0] * _TIME_GROWTH
    sys.stdout.write(f"{_BATCH} scans: {took[0]:.2f} -> {took[1]:.2f} s{'  SLOWER' * slower}\n")
    return grown or slower


if __name__ == "__main__":
    sys.exit(main())
