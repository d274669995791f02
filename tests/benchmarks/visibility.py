"""Watches the files of a live load as a user's reader does; a process of its own.

    python visibility.py EXPECTED.json RESULT.json PERIOD_S

Each round opens every file without a lock, reads the length of every channel and its last
value. A length counts from the moment after that value was read and found right. Ends when
its standard input is closed.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from values import ChannelLoad


class Watch:
    """What became visible, and when."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self._files: dict[str, list[tuple[dict[str, Any], list[ChannelLoad]]]] = defaultdict(list)
        for scan in manifest["scans"]:
            channels = [ChannelLoad(**channel) for channel in scan["channels"]]
            self._files[scan["file"]].append((scan, channels))
        self.seen: dict[str, list[tuple[float, int]]] = defaultdict(list)
        """``key/channel`` -> (monotonic time, length), at every change of the length."""
        self.opened = 0
        self.not_opened = 0
        self.wrong_values = 0

    def warm_up(self) -> None:
        """Compute the tables of values before time counts."""
        for scans in self._files.values():
            for _, channels in scans:
                for channel in channels:
                    channel.values(0, 1)

    def look(self) -> None:
        """Open every file once."""
        for path, scans in self._files.items():
            if not Path(path).exists():
                continue
            try:
                with h5py.File(path, "r", locking=False) as file:
                    self.opened += 1
                    for scan, channels in scans:
                        for channel in channels:
                            self._look_at(file, scan, channel)
            except (OSError, RuntimeError, KeyError):
                self.not_opened += 1

    def _look_at(self, file: h5py.File, scan: dict[str, Any], channel: ChannelLoad) -> None:
        dataset = file.get(f"{scan['entry']}/instrument/{channel.short_name}/data")
        if dataset is None:
            return
        seen = self.seen[f"{scan['key']}/{channel.name}"]
        length = len(dataset)
        if length <= (seen[-1][1] if seen else 0):
            return
        if np.array_equal(dataset[length - 1], channel.values(length - 1, length)[0]):
            seen.append((time.monotonic(), length))
        else:
            self.wrong_values += 1


def main() -> None:
    """Watch until told to end."""
    expected, result, period = sys.argv[1:4]
    watch = Watch(json.loads(Path(expected).read_text()))
    watch.warm_up()
    while True:
        started = time.monotonic()
        watch.look()
        rest = max(0.0, started + float(period) - time.monotonic())
        if select.select([sys.stdin], [], [], rest)[0]:
            break
    watch.look()
    Path(result).write_text(
        json.dumps(
            {
                "seen": watch.seen,
                "opened": watch.opened,
                "not_opened": watch.not_opened,
                "wrong_values": watch.wrong_values,
            }
        )
    )


if __name__ == "__main__":
    main()
