"""The recent values of one attribute, as a plot takes them."""

from __future__ import annotations

import math
from collections import deque


class Trend:
    """Values with their times, the old ones forgotten.

    Args:
        window_s: how long a value is kept.
        longest: number of values kept at most.
    """

    def __init__(self, window_s: float = 300.0, longest: int = 6000) -> None:
        self._window_s = window_s
        self._points: deque[tuple[float, float]] = deque(maxlen=longest)

    def add(self, time_s: float, value: float) -> None:
        """Add a value; one that is older than the newest is ignored.

        Args:
            time_s: seconds since the epoch.
            value: not a number interrupts the line.
        """
        if self._points and time_s < self._points[-1][0]:
            return
        self._points.append((time_s, value))
        while self._points[0][0] < time_s - self._window_s:
            self._points.popleft()

    def interrupt(self) -> None:
        """Nothing is known from here to the next value."""
        if self._points and not math.isnan(self._points[-1][1]):
            self.add(self._points[-1][0], math.nan)

    def newest(self) -> float:
        """Time of the newest value in seconds since the epoch; 0 without values."""
        return self._points[-1][0] if self._points else 0.0

    def series(self) -> tuple[list[float], list[float]]:
        """Times and values, oldest first, of the same length."""
        return [time_s for time_s, _ in self._points], [value for _, value in self._points]
