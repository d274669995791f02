"""The demonstration's scans of BLISS 1, and what must be in their files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tango_saver.demo.publisher_bliss1 import commands_of, replay_bliss1
from tango_saver.source.bliss1.pickled import decode

_DATA = b"_data"
_FOLDER = "test_session"
"""Of the recorded session, below which its files lie."""


@dataclass(frozen=True, slots=True)
class PublishedPoints:
    """The points of one channel, as the session published them."""

    file: str
    """Below the folder of the data."""
    dataset: str
    """As the layout ``example`` has it."""
    values: npt.NDArray[Any]
    """``(n_points, *point_shape)``."""


def file_name(recording: str) -> str:
    """Where the scans of a recording go, below the folder of the data."""
    return f"{_FOLDER}/{recording}/{recording}_external.h5"


def publish(recording: Path, redis_url: str, data: Path, speed: float, session: str) -> list[str]:
    """Publish a recording; the keys of its scans."""
    return replay_bliss1(recording, redis_url, data, speed=speed, session=session)


def published_points(recording: Path) -> Iterator[PublishedPoints]:
    """All channels of numbers of a recording whose scans have one file.

    Raises:
        ConfigurationError: the file is not a recording.
    """
    kinds: dict[bytes, bytes] = {}
    names: dict[bytes, str] = {}
    scans: dict[bytes, list[bytes]] = {}
    blocks: dict[bytes, list[npt.NDArray[Any]]] = {}
    for command in commands_of(recording):
        fields = dict(zip(command[2::2], command[3::2], strict=False))
        if command[0] == b"HSET" and b"node_type" in fields:
            kinds[command[1]], names[command[1]] = fields[b"node_type"], fields[b"name"].decode()
        elif command[0] == b"XADD" and command[-2] == b"db_name":
            parent = command[1].removesuffix(b"_children_list")
            if kinds.get(parent) in (b"scan", b"scan_group"):
                scans.setdefault(parent, []).append(command[-1])
        elif command[0] == b"XADD" and b"CHANNELDATA" in command:
            entry = dict(zip(command[-8::2], command[-7::2], strict=True))
            value, count = decode(entry[b"__DATA__"]), int(entry[b"__NPOINTS__"])
            array = np.asarray(value)
            key = command[1].removesuffix(_DATA)
            blocks.setdefault(key, []).append(array[np.newaxis] if count == 1 else array)
    file = file_name(recording.name.removesuffix(".jsonl.gz"))
    for scan, masters in scans.items():
        number, _, name = scan.decode().rpartition(":")[2].partition("_")
        for index, master in enumerate(masters):
            entry_name = f"{number}.{index}_{name}" if index else f"{number}_{name}"
            for key, arrays in blocks.items():
                if key.startswith(master + b":") and kinds[key] == b"channel":
                    yield PublishedPoints(
                        file, f"/{entry_name}/measurement/{names[key]}", np.concatenate(arrays)
                    )
