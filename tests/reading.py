"""What the tests of the BLISS 2 source share: a publisher by hand, and a reader read to its end."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import redis

from tango_saver.model.records import (
    ChannelEnded,
    ChannelFailed,
    FixedPoints,
    FramesReferenced,
    GapFound,
    JsonPoints,
    PointsArrived,
    RaggedPoints,
    Record,
    ScanClosed,
    ScanOpened,
    SubscanAnnounced,
)
from tango_saver.model.scan import ScanKey, ScanState
from tango_saver.source.bliss2 import Bliss2Reader

SEAL = "18446744073709551615-18446744073709551615"
_NUMBERS = itertools.count(1)


def read_until(
    reader: Bliss2Reader, done: Callable[[list[Record]], bool], limit_s: float = 20.0
) -> list[Record]:
    """The records of a reader up to the moment that ``done`` says so; fails after the limit."""
    records: list[Record] = []
    deadline = time.monotonic() + limit_s
    while not done(records):
        assert time.monotonic() < deadline, f"not done after {len(records)} records: {records[-3:]}"
        records += reader.read(0.5)
    return records


def is_closed(records: Sequence[Record]) -> bool:
    return bool(records) and isinstance(records[-1], ScanClosed)


def has_points(channel: str, n_points: int) -> Callable[[list[Record]], bool]:
    """Whether so many points of the channel were read."""

    def enough(records: list[Record]) -> bool:
        return Collected(records).n_points(channel) >= n_points

    return enough


def read_all(url: str, key: str, **positions: int) -> Collected:
    """The whole scan, from the positions on."""
    reader = Bliss2Reader(url, ScanKey(key), positions=positions)
    try:
        return Collected(read_until(reader, is_closed))
    finally:
        reader.close()


@dataclass
class Collected:
    """The records of a scan, by channel; asserts the order that the contract promises."""

    records: Sequence[Record]
    expected: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, record in enumerate(self.records):
            if isinstance(record, ScanOpened):
                assert index == 0
            elif isinstance(record, ScanClosed):
                assert index == len(self.records) - 1
            elif isinstance(record, PointsArrived):
                known = self.expected.setdefault(record.channel, record.first)
                assert record.first == known, "points come in order, gaps are announced"
                self.expected[record.channel] = record.first + len(record.points)
            elif isinstance(record, GapFound):
                known = self.expected.setdefault(record.channel, record.first)
                assert record.first == known
                assert record.stop > record.first
                self.expected[record.channel] = record.stop

    def _of(self, kind: type, channel: str) -> list[Any]:
        return [r for r in self.records if isinstance(r, kind) and r.channel == channel]

    @property
    def opened(self) -> ScanOpened:
        """The one ScanOpened."""
        (opened,) = (r for r in self.records if isinstance(r, ScanOpened))
        return opened

    @property
    def closed(self) -> ScanClosed:
        """The one ScanClosed."""
        (closed,) = (r for r in self.records if isinstance(r, ScanClosed))
        return closed

    def n_points(self, channel: str) -> int:
        """How many points came."""
        return sum(len(record.points) for record in self._of(PointsArrived, channel))

    def points(self, channel: str) -> list[Any]:
        """Every point: arrays, scalars, JSON values."""
        found: list[Any] = []
        for record in self._of(PointsArrived, channel):
            match record.points:
                case FixedPoints(values):
                    found += list(values)
                case RaggedPoints(values) | JsonPoints(values):
                    found += list(values)
        return found

    def bytes(self, channel: str) -> bytes:
        """The values of all points, little endian, C order."""
        return b"".join(
            np.asarray(p).astype(np.asarray(p).dtype.newbyteorder("<")).tobytes()
            for p in self.points(channel)
        )

    def gaps(self, channel: str) -> list[tuple[int, int]]:
        """``(first, stop)`` of each gap."""
        return [(record.first, record.stop) for record in self._of(GapFound, channel)]

    def ends(self, channel: str) -> list[int]:
        """What the end marker said, once per ChannelEnded."""
        return [record.n_points for record in self._of(ChannelEnded, channel)]

    def failures(self, channel: str) -> list[str]:
        """Why the channel failed."""
        return [record.reason for record in self._of(ChannelFailed, channel)]

    def subscans(self, channel: str) -> list[SubscanAnnounced]:
        """Every sub-scan, in order."""
        return self._of(SubscanAnnounced, channel)

    def statuses(self, channel: str) -> list[Any]:
        """Every status, oldest first."""
        return [record.status for record in self._of(FramesReferenced, channel)]


SCALAR = {"type": "numeric", "dtype_str": "<f8", "shape": []}


class HandMadeScan:
    """A scan published command by command, so that each of them can be wrong."""

    def __init__(
        self, client: redis.Redis, streams: Mapping[str, Mapping[str, Any] | None], **document: Any
    ) -> None:
        number = next(_NUMBERS)
        self.client = client
        self.key = ScanKey(f"esrf:scan:HAND{number}")
        self.state_stream = f"esrf:stream:STATE{number}"
        self.streams = {name: f"esrf:stream:DATA{number}{name}" for name in streams}
        self.document = {
            "id": {"name": "hand", "number": number, "session": "demo", "path": "/data/hand.h5"},
            "info": {
                "save": True,
                "channels": {name: {"device": "d"} for name in streams},
                "acquisition_chain": {
                    "d": {"top_master": "d", "devices": ["d"], "scalars": list(streams)}
                },
                "devices": {"d": {"name": "d", "channels": list(streams)}},
            },
            "state_stream": {"pk": f"STATE{number}"},
            "data_streams": {
                name: {"pk": f"DATA{number}{name}", "encoding": encoding, "info": {}}
                for name, encoding in streams.items()
            },
        } | document

    def put_document(self) -> None:
        """JSON.SET as it is now."""
        self.client.execute_command("JSON.SET", self.key, ".", json.dumps(self.document))

    def announce(self, *states: int) -> None:
        """The document, and these states."""
        self.put_document()
        for state in states:
            if state == ScanState.CREATED:
                self.client.xadd("_SCAN_HISTORY_", {"key": self.key})
            self.client.xadd(self.state_stream, {"state": int(state)})

    def send(self, channel: str, first: int, values: Iterable[float]) -> None:
        """One entry of points of a scalar channel of ``<f8``."""
        data = np.asarray(list(values), "<f8")
        self.send_raw(channel, f"{first}-1", {"payload": data.tobytes(), "len": len(data)})

    def send_raw(self, channel: str, entry: str, fields: Mapping[Any, Any]) -> None:
        """One entry as given."""
        self.client.xadd(self.streams[channel], dict(fields), id=entry)

    def seal(self, *channels: str) -> None:
        """End these streams, or all."""
        for channel in channels or self.streams:
            self.client.fcall("seal_stream", 1, self.streams[channel])
