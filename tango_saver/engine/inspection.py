"""Looks at targets and disks in threads of their own: a file system may never answer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tango_saver.errors import DiskFullError, SaverError, TargetUnusableError
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.paths import check_target, check_writable, disk_free_bytes

_GB = 1e9
_WATCH_S = 2.0
_STUCK_S = 10.0
"""A file system that has not answered for so long is left to its thread."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """A target may be written, or the error says why not."""

    key: str
    target: str
    """Resolved; as it was asked if it may not be written."""
    error: SaverError | None = None


@dataclass(frozen=True, slots=True)
class DiskSeen:
    """Free space where a target lies."""

    target: str
    free_gb: float


class Inspector:
    """Checks targets before anything is made, and watches the disk of the newest one.

    A file system that does not answer costs one thread, and the targets in that folder.

    Args:
        settings: allowed roots and the least free space.
        tell: called from the threads.
    """

    def __init__(
        self, settings: SaverSettings, tell: Callable[[Inspected | DiskSeen], None]
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: dict[Path, deque[tuple[str, str]]] = {}
        self._watched = ""
        self._watcher: object = None
        self._asked_at = 0.0

    def inspect(self, key: str, target: str) -> None:
        """Check the target of a scan; returns at once, the answer is told."""
        folder = Path(target).parent
        with self._lock:
            queue = self._waiting.get(folder)
            if queue is not None:
                queue.append((key, target))
                return
            self._waiting[folder] = deque([(key, target)])
        self._start(self._inspect_folder, folder)

    def watch(self, target: str) -> None:
        """From now on tell the free space where this target lies; to be called often."""
        with self._lock:
            self._watched = target
            stuck = self._asked_at and time.monotonic() - self._asked_at > _STUCK_S
            if self._watcher is not None and not stuck:
                return
            watcher = self._watcher = object()
            self._asked_at = 0.0
        self._start(self._watch, watcher)

    def close(self) -> None:
        """Watch nothing any more."""
        with self._lock:
            self._watcher = None

    @staticmethod
    def _start(function: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=function, args=arguments, name="inspection", daemon=True).start()

    def _inspect_folder(self, folder: Path) -> None:
        while True:
            with self._lock:
                queue = self._waiting[folder]
                if not queue:
                    del self._waiting[folder]
                    return
                key, target = queue.popleft()
            self._tell(self._inspect_one(key, target))

    def _inspect_one(self, key: str, target: str) -> Inspected:
        try:
            path = check_target(target, self._settings.allowed_roots)
            if self._settings.fallback_roots:
                return Inspected(key, str(path))  # the scan finds its way around what is wrong
            check_writable(path)
            free_gb = disk_free_bytes(path) / _GB
            if free_gb < self._settings.disk_minimum_gb:
                raise DiskFullError(  # noqa: TRY301 - told like the other refusals
                    f"only {free_gb:.2f} GB are free where {path} lies, "
                    f"disk_minimum is {self._settings.disk_minimum_gb:g} GB",
                    advice="Make room on that disk",
                )
        except SaverError as error:
            error.scan = error.scan or key
            return Inspected(key, target, error)
        except Exception as error:  # noqa: BLE001 - a path is foreign input; it costs its scan
            return Inspected(
                key,
                target,
                TargetUnusableError(
                    f"{target!r} cannot be looked at: {type(error).__name__}: {error}", scan=key
                ),
            )
        return Inspected(key, str(path))

    def _watch(self, watcher: object) -> None:
        while True:
            with self._lock:
                if watcher is not self._watcher:
                    return
                target = self._watched
                self._asked_at = time.monotonic()
            try:
                free_gb = disk_free_bytes(target) / _GB
            except SaverError:
                free_gb = float("nan")
            with self._lock:
                if watcher is not self._watcher:
                    return
                self._asked_at = 0.0
            self._tell(DiskSeen(target, free_gb))
            time.sleep(_WATCH_S)
