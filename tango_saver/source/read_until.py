"""Until when everything that was published was read."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable


class ReadUntil:
    """Moments on the monotonic clock, by channel: all that was published before was read."""

    def __init__(self) -> None:
        self._moments: dict[str, float] = {}
        self.before_opening = 0.0
        """As long as the scan has no channels."""

    def read(self, names: Iterable[str], asked_at: float, unfinished: Collection[str]) -> None:
        """Redis has answered.

        Args:
            names: channels that it was asked for.
            asked_at: when it was asked.
            unfinished: channels of which it may have more.
        """
        for name in names:
            if name not in unfinished:
                self._moments[name] = asked_at

    def of(self, live: Iterable[str]) -> float:
        """The moment for channels that are read: of the one that is furthest behind.

        0 if one of them was never read to its end; now if there are none.
        """
        return min((self._moments.get(name, 0.0) for name in live), default=time.monotonic())


class EntryRate:
    """How fast the streams of a scan grow."""

    _PERIOD_S = 5.0

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._since = 0.0
        self.fastest = 0.0
        """Entries per second of the fastest stream; 0 as long as it is not known."""

    def saw(self, name: str, n_entries: int) -> None:
        """Entries of one stream were read."""
        self._counts[name] = self._counts.get(name, 0) + n_entries

    def caught_up(self, read_until: float) -> None:
        """Everything published before that moment was counted."""
        if not self._since:
            self._since = read_until
            self._counts.clear()  # they were published at any time
        elif read_until - self._since >= self._PERIOD_S:
            busiest = max(self._counts.values(), default=0)
            self.fastest = busiest / (read_until - self._since)
            self._since = read_until
            self._counts.clear()
