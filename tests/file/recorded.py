"""Recorded scans as descriptions and points, without any Redis."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tango_saver.model.scan import ScanDescription, ScanKey, ScanState
from tango_saver.source.bliss2.document import decode_document


@dataclass(frozen=True)
class RecordedScan:
    """One scan of a recording."""

    descriptions: tuple[ScanDescription, ...]
    """One for each state."""
    points: dict[str, list[Any]]
    """Channel name -> its points."""

    @property
    def opening(self) -> ScanDescription:
        """As it is when saving starts: prepared, or the last one if it never was."""
        prepared = [d for d in self.descriptions if d.state >= ScanState.PREPARED]
        return prepared[0] if prepared else self.descriptions[-1]

    @property
    def closing(self) -> ScanDescription:
        """As it is when the scan is over."""
        return self.descriptions[-1]

    @property
    def n_points(self) -> dict[str, int]:
        """Channel name -> number of its points."""
        return {name: len(values) for name, values in self.points.items()}


def recorded_scans(recording: Path) -> Iterator[RecordedScan]:
    """The scans of a recording, in order."""
    with gzip.open(recording) as packed:
        scans = json.load(packed)["scans"]
    for scan in scans:
        documents = scan["docs"]
        descriptions = tuple(
            decode_document(json.dumps(doc["doc"]), ScanKey(scan["key"]), ScanState(doc["state"]))
            for doc in documents
        )
        streams = documents[-1]["doc"]["data_streams"]
        points = {
            name: list(_points(scan["entries"], name, stream)) for name, stream in streams.items()
        }
        yield RecordedScan(descriptions, points)


def _points(entries: list[Any], channel: str, stream: dict[str, Any]) -> Iterator[Any]:
    encoding = stream["encoding"]
    for _, name, _, fields in entries:
        if name != channel or "payload" not in fields:
            continue
        payload, length = base64.b64decode(fields["payload"]), int(fields.get("len", 1))
        if encoding["type"] == "json":
            yield payload.decode()
            continue
        shape = encoding["shape"]
        if -1 in shape:
            shape, payload = msgspec.msgpack.decode(payload)
        yield from np.frombuffer(payload, encoding["dtype_str"]).reshape(length, *shape)
