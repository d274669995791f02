"""Publishing in the background, and recordings with something changed."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tango_saver.demo.publisher import replay
from tango_saver.model.scan import ScanState


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


class Publishing:
    """Replays a recording in a thread; ``hold`` keeps it between its start and its stop."""

    def __init__(self, *arguments: Any, hold: bool = False, **options: Any) -> None:
        self.keys: list[str] = []
        self._begun: dict[ScanState, threading.Event] = {
            state: threading.Event() for state in ScanState
        }
        self._go_on = threading.Event()
        if not hold:
            self._go_on.set()
        self._arguments, self._options = arguments, options
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.result = replay(*self._arguments, on_state=self._at_state, **self._options)

    def _at_state(self, key: str, state: ScanState) -> None:
        if key not in self.keys:
            self.keys.append(key)
        self._begun[state].set()
        if state is ScanState.STOPPED:
            assert self._go_on.wait(60)

    def wait_for(self, state: ScanState) -> None:
        """Wait until the state was published."""
        assert self._begun[state].wait(30)

    def go_on(self) -> None:
        """Let the scan end."""
        self._go_on.set()

    def finish(self) -> list[str]:
        """Let the scan end, wait for it; the keys."""
        self._go_on.set()
        self._thread.join(60)
        return self.result
