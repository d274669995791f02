"""Recordings with something changed, to be published as a session never would."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def changed_recording(
    recording: Path, folder: Path, change: Callable[[dict[str, Any]], None]
) -> Path:
    """A copy of a recording whose (first) scan went through ``change``."""
    with gzip.open(recording, "rt") as file:
        content = json.load(file)
    change(content["scans"][0])
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"changed-{recording.name}"
    with gzip.open(copy, "wt", compresslevel=1) as file:
        json.dump(content, file)
    return copy


def each_document(scan: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> None:
    """Apply a change to all documents of a recorded scan."""
    for item in scan["docs"]:
        change(item["doc"])
