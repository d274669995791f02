"""Until when everything that was published of a scan is on disk."""

from __future__ import annotations

import math
import time
from collections import deque

_STEP_S = 2.0
"""It is told in steps: a quiet scan shall have no news every time it is looked at."""
_RESOLUTION_S = 0.1
_MOST = 100


class SafeMoment:
    """Follows what was read until it is on disk. All moments are on the monotonic clock."""

    def __init__(self) -> None:
        self._taken: deque[tuple[float, float]] = deque(maxlen=_MOST)
        """When points were handed to the file, and until when they had been read."""
        self._until = 0.0

    @property
    def until(self) -> float:
        """Everything that was published before is on disk; 0 if nothing is known to be."""
        return math.floor(self._until / _STEP_S) * _STEP_S

    def note(self, read_until: float, dirty_since: float) -> None:
        """What was read has been appended to the file.

        Args:
            read_until: everything that was published before has been read and appended.
            dirty_since: when the oldest point was appended that is not on disk; 0 if all are.
        """
        if not dirty_since:
            self._until = max(self._until, read_until)
            self._taken.clear()
            return
        while self._taken and self._taken[0][0] < dirty_since:
            self._until = max(self._until, self._taken.popleft()[1])
        now = time.monotonic()
        if not self._taken or now - self._taken[-1][0] >= _RESOLUTION_S:
            self._taken.append((now, read_until))
