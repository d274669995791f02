"""Hears of new scans: one thread per stretch of listening."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tango_saver.errors import SaverError
from tango_saver.model.scan import ScanAnnouncement
from tango_saver.model.settings import SaverSettings
from tango_saver.source.base import ScanSource
from tango_saver.source.factory import open_source

_LOG = logging.getLogger(__name__)

_WAIT_S = 0.2
"""One wait for new scans, and so how soon Stop is noticed."""
_DRAIN_S = 0.01
_LATE_ANSWER_S = 5.0
"""A Redis that is away at Stop may be back within so long, with scans from before it."""
_RETRY_S = (0.2, 5.0)
"""First and longest pause after an error."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of one wait."""

    listener: Listener
    scans: Sequence[ScanAnnouncement]
    entry: str
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Deaf:
    """Nothing can be heard at present; it is tried again."""

    listener: Listener
    error: SaverError


@dataclass(frozen=True, slots=True)
class Silent:
    """The listener has ended; everything that was created before Stop was heard."""

    listener: Listener


class Listener:
    """Announces all scans that are created between its start and its stop.

    Both moments are looked up in the history by Redis's own clock, so it does not matter how
    long the connection takes, nor whether Redis answers at that moment.

    Args:
        settings: URL and timeout are used.
        tell: called from the listener's thread.
        since: place in the history where listening was interrupted: scans behind it are
            announced too. Empty for none.
    """

    def __init__(
        self,
        settings: SaverSettings,
        tell: Callable[[Heard | Deaf | Silent], None],
        since: str = "",
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._since = since
        self._started = time.monotonic()
        self._stopped = 0.0
        self._give_up_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def stop(self, *, for_good: bool) -> None:
        """Hear nothing that is created from now on; returns at once.

        Args:
            for_good: nobody will listen from here on later: if Redis is away, wait a little.
        """
        if not self._stopping.is_set():
            self._stopped = time.monotonic()
            self._give_up_at = self._stopped + (_LATE_ANSWER_S if for_good else 0.0)
            self._stopping.set()

    def _run(self) -> None:
        pause = _RETRY_S[0]
        position = self._since
        deaf = True
        source: ScanSource | None = None
        while True:
            try:
                source = source or open_source(self._settings)
                if not position:
                    position = source.entry_at(self._started).earliest
                    # Told at once: whoever goes on after a sudden end goes on from here.
                    self._tell(Heard(self, (), position, ()))
                scans, reached, warnings = source.new_scans(position, _WAIT_S)
                if self._stopping.is_set():
                    self._hear_the_rest(source, position)
                    break
                if deaf or scans or warnings or reached != position:
                    self._tell(Heard(self, scans, reached, warnings))
                position, deaf, pause = reached, False, _RETRY_S[0]
            except Exception as error:  # noqa: BLE001 - told, and tried again
                if not isinstance(error, SaverError):
                    _LOG.exception("Listening for scans failed")
                self._tell(Deaf(self, _as_saver_error(error)))
                deaf = True
                if self._stopping.wait(pause):
                    if time.monotonic() > self._give_up_at:
                        break
                    time.sleep(_RETRY_S[0])
                pause = min(2 * pause, _RETRY_S[1])
        if source is not None:
            source.close()
        self._tell(Silent(self))

    def _hear_the_rest(self, source: ScanSource, position: str) -> None:
        """The scans that were created before Stop and have not been told yet."""
        end = entry_order(source.entry_at(self._stopped).latest)
        while entry_order(position) <= end:
            scans, reached, warnings = source.new_scans(position, _DRAIN_S)
            in_time = [scan for scan in scans if entry_order(scan.entry) <= end]
            if in_time or warnings:
                self._tell(Heard(self, in_time, reached, warnings))
            if not scans and reached == position:
                return
            position = reached


def _as_saver_error(error: Exception) -> SaverError:
    """A defect must not leave the saver deaf without a word."""
    if isinstance(error, SaverError):
        return error
    return SaverError(f"{type(error).__name__}: {error}")


def entry_order(entry: str) -> tuple[int, int]:
    """Entries of a Redis stream, ``<milliseconds>-<number>``, as numbers."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)
