"""Compares every value in the files of a load with what was published; a process of its own.

    python read_back.py MANIFEST.json

Prints one line per difference and ends with 1 if there is any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from values import ChannelLoad

_BLOCK_BYTES = 16_000_000


def is_complete(manifest: dict[str, Any]) -> bool:
    """Whether every dataset has its length and every entry its end, newest scans first."""
    opened: dict[str, h5py.File] = {}
    try:
        for scan in reversed(manifest["scans"]):
            path = scan["file"]
            if path not in opened:
                opened[path] = h5py.File(path, "r", locking=False)
            entry = opened[path].get(scan["entry"])
            if entry is None or "end_time" not in entry:
                return False
            for channel in scan["channels"]:
                dataset = entry.get(_path(_load(channel)))
                if dataset is None or len(dataset) != scan["n_points"]:
                    return False
    except (OSError, RuntimeError, KeyError, ValueError):
        return False
    finally:
        for file in opened.values():
            file.close()
    return True


def differences(manifest: dict[str, Any]) -> Iterator[str]:
    """Every difference between the files and what was published, one sentence each."""
    for scan in manifest["scans"]:
        try:
            with h5py.File(scan["file"], "r") as file:
                for channel in map(_load, scan["channels"]):
                    place = f"{scan['file']}::/{scan['entry']}/{_path(channel)}"
                    dataset = file.get(f"{scan['entry']}/{_path(channel)}")
                    problem = _difference(dataset, channel, scan["n_points"])
                    if problem:
                        yield f"{place}: {problem}"
        except OSError as error:
            yield f"{scan['file']}: {error}"


def _load(channel: dict[str, Any]) -> ChannelLoad:
    return ChannelLoad(**channel)


def _path(channel: ChannelLoad) -> str:
    return f"instrument/{channel.short_name}/data"


def _difference(dataset: Any, channel: ChannelLoad, n_points: int) -> str:
    if dataset is None:
        return "is not there"
    shape = (n_points, *channel.shape)
    if dataset.shape != shape or dataset.dtype != channel.dtype:
        return f"is {dataset.dtype} {dataset.shape}, was {channel.dtype} {shape}"
    point_bytes = channel.dtype.itemsize * max(1, channel.spectrum_length)
    step = max(1, _BLOCK_BYTES // point_bytes)
    for first in range(0, n_points, step):
        stop = min(first + step, n_points)
        if not np.array_equal(dataset[first:stop], channel.values(first, stop)):
            return f"other values between points {first} and {stop}"
    return ""


def main() -> int:
    """Check the files that a manifest names."""
    found = list(differences(json.loads(Path(sys.argv[1]).read_text())))
    for line in found:
        sys.stdout.write(f"{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
