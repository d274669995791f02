"""The warnings of each scan by number, as BLISS fetches them."""

from __future__ import annotations

from collections import OrderedDict

from tango_saver.control.scans import SavedScan, present_warnings
from tango_saver.control.shown import Snapshot
from tango_saver.engine.wording import disk_trouble
from tango_saver.model.report import ScanProgress

_REMEMBERED = 256
"""Scans whose warnings are kept."""


class WarningBook:
    """Numbers warnings in the order in which they were seen; no number changes or vanishes."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, list[str]] = OrderedDict()
        self._short_of_disk: set[str] = set()

    def count(self, scan: SavedScan | None, shown: Snapshot) -> int:
        """How many warnings the scan has had so far; 0 if there is no such scan."""
        if scan is None:
            return 0
        texts = self._texts.setdefault(scan.key, [])
        for text in self._now(scan, shown):
            line = " ".join(text.split())
            if line not in texts:
                texts.append(line)
        while len(self._texts) > _REMEMBERED:
            forgotten, _ = self._texts.popitem(last=False)
            self._short_of_disk.discard(forgotten)
        return len(texts)

    def text(self, key: str, index: int) -> str:
        """One warning; empty if there is none of that number."""
        texts = self._texts.get(key, [])
        return texts[index] if 0 <= index < len(texts) else ""

    def _now(self, scan: SavedScan, shown: Snapshot) -> list[str]:
        """A disk that fills is told once for each scan: its free space is another each time."""
        present = present_warnings(scan, shown)
        if isinstance(scan, ScanProgress):
            disk = disk_trouble(scan.target, shown.status.disk_free_gb, shown.settings)
            if disk and scan.key in self._short_of_disk:
                present.remove(disk)
            elif disk:
                self._short_of_disk.add(scan.key)
        return [*scan.warnings, *present]
