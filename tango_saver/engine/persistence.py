"""Saves one scan whatever happens to its file: waits for it, or takes another.

A file that somebody else holds, that has another scan's entry, or that is no HDF5 file, is left
as it is, and the scan goes beside it. A disk that is full, read-only or gone is waited for; the
scan keeps its place and goes on from there, or, after a while, in the next of the fallback roots.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gevent
import msgspec

from tango_saver.engine.messages import LostPoints, News, SaveScan
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.places import files_for, folders_for
from tango_saver.engine.shared_links import SharedLinks
from tango_saver.engine.writer import ScanWriter
from tango_saver.errors import ClaimLostError, SinkError, TargetAwayError
from tango_saver.model.report import ScanProgress, ScanReport
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.availability import Place, why_not
from tango_saver.sink.journal import Journal

_LOG = logging.getLogger(__name__)

_PAUSE_S = (0.2, 5.0)
"""First and longest pause before a file that could not be written is tried again."""
_FALLBACK_S = 10.0
"""How long a folder that cannot be written is waited for before the next root is taken."""
_MOST_FAILURES = 5
"""In a row, of a file that has the scan's entries and that the system does not refuse."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the scans of one worker share.

    ``ends`` says whether the worker is about to leave: whatever fails then is the business of
    the next one.
    """

    settings: SaverSettings
    targets: OpenTargets
    links: SharedLinks
    tell: Callable[[News], None]
    ends: Callable[[], bool]


class PersistentScan:
    """One scan, in one attempt after the other; ``run`` never raises, it reports.

    Args:
        order: which scan, and where it shall go.
        bench: of the worker.
    """

    def __init__(self, order: SaveScan, bench: Bench) -> None:
        self._order = order
        self._bench = bench
        self._wanted = Path(order.target)
        self._folders = folders_for(self._wanted, bench.settings.fallback_roots)
        self._folder = 0
        self._files = files_for(self._wanted, order.number, self._folders[0])
        self._place = self._wanted
        self._before: Place | None = None
        self._writer: ScanWriter | None = None
        self._end_asked = False
        self._lost: ClaimLostError | None = None
        self._trouble = ""
        self._failures = 0
        self._troubled_since = 0.0

    def end(self) -> None:
        """Finish what there is, soon."""
        self._end_asked = True
        if self._writer is not None:
            self._writer.end()

    @property
    def order(self) -> SaveScan:
        """Which scan, and what the next attempt has to know."""
        return self._order

    @property
    def lost(self) -> bool:
        """Another instance goes on with the scan."""
        return self._lost is not None

    def lose(self, error: ClaimLostError) -> None:
        """Another instance goes on with the scan; nothing more of it is written here."""
        self._lost = error
        for path in {self._wanted, self._place}:
            self._bench.targets.lose(path, error)
        self.end()

    def progress(self) -> ScanProgress | None:
        """Where it stands; None before the first attempt."""
        if self._writer is None:
            return None
        progress = self._writer.progress()
        trouble = self._trouble or self._bench.targets.lease.trouble
        return replace(progress, error=trouble) if trouble else progress

    def run(self) -> ScanReport:
        """Save the scan to its end."""
        self._find_earlier_attempt()
        self._bench.targets.regain(self._place)
        if self._before is None:
            reason = why_not(self._place, self._least_free)
            if reason:
                self._take_next_root(reason)
        while True:
            report, trouble = self._attempt()
            if trouble is None or self.lost or self._bench.ends():
                return report
            if not self._find_a_way(trouble):
                return report

    def _attempt(self) -> tuple[ScanReport, SinkError | None]:
        order = self._order
        if self._place != self._wanted:
            order = msgspec.structs.replace(
                order, target=str(self._place), wanted=str(self._wanted)
            )
        bench = self._bench
        writer = ScanWriter(order, bench.settings, bench.targets, bench.links, self._tell)
        self._writer, self._trouble = writer, ""
        if self._end_asked:
            writer.end()
        report = writer.run()
        if writer.points_gained:
            self._failures, self._troubled_since = 0, 0.0
        # As it was when it was written: by now its file system may be gone.
        self._before = writer.place or self._before
        self._order = msgspec.structs.replace(self._order, warnings=writer.lasting_warnings)
        return report, writer.interruption

    def _tell(self, news: News) -> None:
        """Remember what the next attempt has to know, too."""
        if isinstance(news, LostPoints):
            self._order = msgspec.structs.replace(self._order, lost=(*self._order.lost, news))
        self._bench.tell(news)

    def _find_earlier_attempt(self) -> None:
        """Go on where the journal of this scan lies; the last place counts."""
        for index in reversed(range(len(self._folders))):
            files = files_for(self._wanted, self._order.number, self._folders[index])
            for path in files:
                if Journal.path_for(path, self._order.key).exists():
                    self._folder, self._files, self._place = index, files, path
                    self._before = Place.of(path)
                    return
                if path.name != self._wanted.name and not path.exists():
                    break
        next(self._files)  # the wanted one

    def _find_a_way(self, trouble: SinkError) -> bool:
        """Whether there is to be another attempt, which may begin after a long wait."""
        self._failures += 1
        self._troubled_since = self._troubled_since or time.monotonic()
        begun = self._writer is not None and self._writer.begun
        away = isinstance(trouble, TargetAwayError)
        if away or (begun and self._failures <= _MOST_FAILURES):
            return self._wait_for_the_place(trouble)
        self._go_beside(trouble)
        return True

    def _go_beside(self, trouble: SinkError) -> None:
        """The next file in the same folder that is free, or has this scan already."""
        self._place = next(path for path in self._files if self._is_free(path))
        self._failures, self._before = 0, None
        self._warn(f"{trouble.fact}: the scan is in {self._place}")

    def _is_free(self, path: Path) -> bool:
        if path.is_symlink():
            return False  # it may lead anywhere
        if not path.exists():
            return True
        return not self._order.again and self._bench.targets.has_scan(path, self._order.key)

    def _wait_for_the_place(self, trouble: SinkError) -> bool:
        pauses = _pauses(self._failures)
        while True:
            self._trouble = f"{trouble}. {_waiting(self._place)}"
            gevent.sleep(next(pauses))
            if self._bench.ends() or self._end_asked:
                return False
            reason = why_not(self._place, self._least_free, self._before)
            if not reason:
                return True
            waited_s = time.monotonic() - self._troubled_since
            if waited_s > _FALLBACK_S and self._take_next_root(reason):
                return True
            trouble = TargetAwayError(reason)

    def _take_next_root(self, reason: str) -> bool:
        for index in range(self._folder + 1, len(self._folders)):
            files = files_for(self._wanted, self._order.number, self._folders[index])
            path = next(files)
            if not why_not(path, self._least_free):
                self._folder, self._files, self._place = index, files, path
                self._failures, self._troubled_since, self._before = 0, 0.0, None
                self._warn(f"{reason}: the scan is in {path}")
                return True
        return False

    @property
    def _least_free(self) -> float:
        return self._bench.settings.disk_minimum_gb * 1e9

    def _warn(self, sentence: str) -> None:
        _LOG.warning("scan %s: %s", self._order.key, sentence)
        self._order = msgspec.structs.replace(
            self._order, warnings=(*self._order.warnings, sentence)
        )


def _pauses(failures: int) -> Iterator[float]:
    """Longer with every failure in a row and every look in vain."""
    pause = min(_PAUSE_S[0] * 2 ** min(failures - 1, 10), _PAUSE_S[1])
    while True:
        yield pause
        pause = min(2 * pause, _PAUSE_S[1])


def _waiting(place: Path) -> str:
    return f"The scan waits for {place} and goes on when it can be written; StopScan ends it"
