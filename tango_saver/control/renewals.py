"""When values that were pushed to clients are pushed again, although they are the same.

An event that is pushed while a client is still connecting never reaches it. The same value
pushed again does, so that nobody shows an old one for long.
"""

from __future__ import annotations

_PERIOD_S = 1.0
"""Between two pushes of a value that has changed of late."""
_RECENT_S = 10.0
"""A client that has connected for so long has what changed before."""
_FULL_PERIOD_S = 10.0
"""Between two pushes of every value: the network may have kept an event from somebody."""


class Renewals:
    """The values of one device; all times are those of one clock, in seconds."""

    def __init__(self) -> None:
        self._changed_at: dict[str, float] = {}
        self._full_at = 0.0
        self.next_at = 0.0
        """When the first value is due."""

    def changed(self, name: str, now: float) -> None:
        """Another value of this name was pushed."""
        self._changed_at[name] = now

    def is_due(self, name: str, now: float) -> bool:
        """Whether the value is to be pushed again."""
        if now < self.next_at:
            return False
        return now >= self._full_at or now - self._changed_at[name] < _RECENT_S

    def done(self, now: float) -> None:
        """What has changed and what was due has been pushed."""
        was_due = now >= self.next_at
        if was_due and now >= self._full_at:
            self._full_at = now + _FULL_PERIOD_S
        is_recent = now - max(self._changed_at.values()) < _RECENT_S
        following = now + _PERIOD_S if is_recent else self._full_at
        self.next_at = following if was_due else min(following, self.next_at)
