"""Scans that fail, and channels that behave badly; run in a session of BLISS."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

import gevent
import numpy as np
from bliss import current_session
from bliss.common import scans
from bliss.config import static
from parts import ChannelSpec, Emitter, configured, scan_of


def timescan_aborted() -> None:
    """KeyboardInterrupt in the middle."""
    scan = scans.timescan(0.02, *configured("diode", "diode_samples"), run=False)
    running = gevent.spawn(scan.run)
    gevent.sleep(0.6)
    running.kill(KeyboardInterrupt)


def scan_raises() -> None:
    """A device that fails at its fourth trigger."""

    def values(number: int) -> tuple[Any, ...]:
        if number == 3:
            raise RuntimeError("detector exploded")
        return (float(number), np.arange(8) + number)

    device = Emitter("bad", [("v", float, (), "V"), ("spec", int, (8,), None)], values)
    with suppress(RuntimeError):
        scan_of("raises", 8, device).run()


class _FailsEarly(Emitter):
    def prepare(self) -> None:
        raise RuntimeError("cannot prepare")


def prepare_fails() -> None:
    """Fails before it is prepared."""
    device = _FailsEarly("bad", [("v", float, (), None)], lambda _: (1.0,))
    with suppress(RuntimeError):
        scan_of("prepare_fails", 3, device).run()


_ZOO: tuple[ChannelSpec, ...] = (
    ("b", bool, (), None), ("i1", "int8", (), None), ("u2", "uint16", (), "counts"),
    ("i8", "int64", (), None), ("u8", "uint64", (), None), ("f4", "float32", (), "mm"),
    ("f8", "float64", (), None), ("c16", "complex128", (), None), ("be", ">i4", (), None),
    ("var1d", "float64", (-1,), "s"), ("fix1d", "uint32", (16,), None),
    ("img", "uint16", (6, 5), None), ("var2d", "int32", (-1, 3), None),
    ("odd name-µ/x", "float64", (), "%"),
)  # fmt: skip


def dtypes() -> None:
    """Every dtype, variable length, blocks of two dimensions, NaN, a name with a slash."""
    random = np.random.default_rng(0)

    def values(number: int) -> tuple[Any, ...]:
        return (
            np.array(number % 2 == 0), np.int8(-number), np.uint16(65535 - number),
            np.int64(-(2**62) + number), np.uint64(2**63 + number), np.float32(number / 3),
            np.float64([np.nan, np.inf, number][number % 3]), np.complex128(number + 2j),
            np.array(number, dtype=">i4"), random.random(3 + number),
            np.arange(16, dtype="uint32") * number, np.full((6, 5), number, "uint16"),
            np.full((1 + number % 3, 3), number, "int32"), float(number),
        )  # fmt: skip

    scan_of("dtypes", 7, Emitter("zoo", _ZOO, values)).run()


def uneven() -> None:
    """Channels that emit blocks, skip points, end with different lengths; one stays empty."""

    def values(number: int) -> tuple[Any, ...]:
        return (
            np.arange(3.0) + 3 * number,
            float(number) if number % 2 else None,
            None,
            np.full((5, 32), number, "uint16") if number == 2 else None,
        )

    scalars: list[ChannelSpec] = [(name, float, (), None) for name in ("blocks", "half", "empty")]
    scan_of("uneven", 6, Emitter("odd", [*scalars, ("burst", "uint16", (32,), None)], values)).run()


def no_data() -> None:
    """Not a single point."""
    channels: list[ChannelSpec] = [("x", float, (), None), ("s", float, (8,), None)]
    scan_of("no_data", 3, Emitter("silent", channels, lambda _: (None, None))).run()


def killed() -> None:
    """The process that publishes dies in the middle of the scan."""
    saving = current_session.scan_saving
    command = [sys.executable, __file__, current_session.name, saving.base_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 9:
        raise RuntimeError(f"it did not die as planned: {done.stderr[-500:]}")


def long_flat() -> None:
    """30000 points in blocks of 1000."""

    def values(number: int) -> tuple[Any, ...]:
        first = 1000 * number
        return np.arange(1000.0) + first, np.arange(1000, dtype="uint32") + first

    device = Emitter("fastdev", [("a", float, (), None), ("b", "uint32", (), None)], values)
    scan_of("long_flat", 30, device, seconds=0).run()


def options() -> None:
    """Chunks and compression that the session asks for."""
    writer = current_session.scan_saving.writer_object
    writer.compression_scheme = "gzip"
    writer.compression_limit = 0
    writer.chunk_size = 0.001
    device = Emitter(
        "mcadev",
        [("spec", "uint32", (2048,), None)],
        lambda number: (np.arange(2048, dtype="uint32") * number,),
    )
    try:
        scan_of("options", 10, device).run()
    finally:
        writer._options.clear()


def _run_and_die(session_name: str, base_path: str) -> None:
    session = static.get_config().get(session_name)
    session.setup()
    saving = session.scan_saving
    saving.writer, saving.base_path = "nexus", base_path
    saving.template, saving.data_filename = "", "data"

    def values(number: int) -> tuple[Any, ...]:
        if number == 6:
            gevent.sleep(0.3)  # what was emitted is published by then
            os._exit(9)
        return (float(number), np.arange(4) * number)

    device = Emitter("dev", [("v", float, (), None), ("s", int, (4,), None)], values)
    scan_of("killed", 20, device, seconds=0.02).run()


if __name__ == "__main__":
    _run_and_die(*sys.argv[1:])
