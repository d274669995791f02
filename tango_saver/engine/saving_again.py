"""Saves one scan that is still in Redis, in this process, and says what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tango_saver.engine.cooperative import CooperativeExecutor
from tango_saver.engine.late_link import link_scan
from tango_saver.engine.messages import LinkScan, SaveScan
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.persistence import Bench, PersistentScan
from tango_saver.engine.shared_links import SharedLinks
from tango_saver.engine.verifying import Verdict, differences_from_redis, verify
from tango_saver.errors import TargetPathError
from tango_saver.model.report import ScanReport
from tango_saver.model.scan import ScanAnnouncement, ScanDescription, ScanKey
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.completeness import finished_file
from tango_saver.sink.paths import check_target
from tango_saver.source.factory import open_source


@dataclass(frozen=True, slots=True)
class SavedAgain:
    """What came of saving a scan once more."""

    differences: tuple[str, ...]
    """Between Redis and the entry that was on disk before, one sentence each."""
    was_there: bool
    """The file had an entry of this scan."""
    report: ScanReport | None
    """None if what was on disk is equal, and nothing was to be saved."""
    verdicts: tuple[Verdict, ...] = ()
    """Of the file that it was saved to."""


def savable_scans(settings: SaverSettings) -> Iterator[ScanAnnouncement]:
    """The scans that are still in Redis, oldest first.

    Raises:
        SourceError: Redis cannot be read.
    """
    source = open_source(settings)
    try:
        place = "0-0"
        while True:
            scans, reached, _ = source.new_scans(place, 0.0)
            yield from (s for s in scans if settings.session in ("", "*", s.session))
            if reached == place:
                return
            place = reached
    finally:
        source.close()


def save_again(key: str, to: str, settings: SaverSettings) -> SavedAgain:
    """Save a scan, unless the file has all of it already.

    An entry that is there and differs is left as it is: the scan goes beside it.

    Args:
        key: of the scan in Redis.
        to: path of the file; empty for the one that BLISS named.
        settings: Redis, layout and allowed roots.

    Raises:
        SaverError: the scan cannot be found, or the file may not be written.
    """
    source = open_source(settings)
    try:
        description = source.describe(ScanKey(key))
    finally:
        source.close()
    if not (to or description.target):
        raise TargetPathError("BLISS has given the scan no file", scan=key, advice="Give one")
    target = check_target(
        str(Path(to).resolve()) if to else description.target, settings.allowed_roots
    )
    was_there, differences = _compare(target, description, settings)
    if was_there and not differences:
        return SavedAgain((), was_there=True, report=None)
    report = _save(description, target, settings)
    verdicts = tuple(
        verdict
        for verdict in verify([Path(report.target)], settings)
        if verdict.entry in ("", *report.entries)
    )
    return SavedAgain(differences, was_there, report, verdicts)


def _compare(
    target: Path, description: ScanDescription, settings: SaverSettings
) -> tuple[bool, tuple[str, ...]]:
    """Whether the file has entries of the scan, and how they differ from what is in Redis."""
    found = False
    differences: list[str] = []
    if not target.exists():
        return found, ()
    with finished_file(target) as file:
        for entry in file.entries():
            report = file.report(entry)
            if report is not None and report.scan == description.key:
                found = True
                differences += file.contradictions(report)
                differences += differences_from_redis(file, report, settings)
                if not report.finished:
                    differences.append(f"{entry} has no end")
    return found, tuple(dict.fromkeys(differences))


def _save(description: ScanDescription, target: Path, settings: SaverSettings) -> ScanReport:
    order = SaveScan(
        key=description.key,
        session=description.session,
        name=description.name,
        number=description.number,
        target=str(target),
        started_at=time.time(),
        again=True,
    )
    targets = OpenTargets(settings, CooperativeExecutor(os.cpu_count() or 1), lambda _path: None)
    links = SharedLinks(settings, targets)
    bench = Bench(settings, targets, links, lambda _news: None, lambda: False)
    report = PersistentScan(order, bench).run()
    if not report.entries or report.target == str(target):
        return report
    link = LinkScan(description.key, str(target), report.target, report.entries)
    linked = link_scan(link, targets, lambda: False)
    names = ", ".join(linked.names)
    sentence = linked.problem or f"{target.name} has links to it: {names}"
    return replace(report, warnings=(*report.warnings, sentence))
