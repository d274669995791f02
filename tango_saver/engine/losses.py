"""What of a scan did not reach files other than its own."""

from __future__ import annotations

import logging

from tango_saver.errors import SaverError

_LOG = logging.getLogger(__name__)


class Losses:
    """One sentence for each file, channel or gap; the first reason counts.

    Args:
        scan: its key, for the log.
    """

    def __init__(self, scan: str) -> None:
        self._scan = scan
        self._sentences: dict[object, str] = {}

    @property
    def sentences(self) -> tuple[str, ...]:
        """In the order in which they happened."""
        return tuple(self._sentences.values())

    def has_file(self, target: str) -> bool:
        """Whether this file was lost."""
        return target in self._sentences

    def file(self, target: str, error: SaverError) -> None:
        """A file, or what was still missing of it."""
        self._add(target, f"{target} is not (wholly) saved: {error}")

    def channel(self, target: str, channel: str, reason: str) -> None:
        """A channel in one file."""
        sentence = f"channel {channel} is not (wholly) in {target}: {reason}"
        self._add((target, channel), sentence)

    def gap(self, channel: str, first: int, stop: int) -> None:
        """Points that Redis dropped before they could be read once more."""
        self._add(
            (channel, first),
            f"channel {channel}: points {first} to {stop - 1} were dropped by Redis before "
            "datasets that came late could be filled",
        )

    def late_datasets(self, error: SaverError) -> None:
        """The scan could not be read once more."""
        self._add("", f"datasets that came late are not (wholly) saved: {error}")

    def _add(self, what: object, sentence: str) -> None:
        if what not in self._sentences:
            self._sentences[what] = sentence
            _LOG.error("scan %s: %s", self._scan, sentence)
