"""How long it takes at the least until Redis drops points that are not saved.

BLISS's memory tracker drops the oldest points once Redis holds more than a part of the memory
that it may use, but none that is younger than a certain age. BLISS 1 keeps a fixed number of
entries of each stream instead. A scan whose newest points are on disk within a second is as far
from losing any as that age or number is large; one that is held up comes nearer every second.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tango_saver.engine.redis_watch import MemorySeen, RedisWatch
from tango_saver.model.settings import SaverSettings
from tango_saver.source.memory import RedisMemory

URGENT_S = 60.0
"""Less is an alarm, or half of what a scan has at best if that is less."""
_WINDOW_S = 60.0
_SHORTEST_S = 5.0
"""The growth of the memory is its mean over a time between these two."""


class MemoryTrend:
    """The memory of Redis over the last minute.

    Args:
        threshold: part of its limit from which on points are dropped, 0 to 1.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._seen: deque[tuple[float, RedisMemory]] = deque()

    def saw(self, now: float, memory: RedisMemory) -> None:
        """Redis had this memory at a moment of the monotonic clock."""
        if self._seen and self._seen[-1][1].limit != memory.limit:
            self._seen.clear()
        self._seen.append((now, memory))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW_S:  # noqa: PLR2004 - two make a slope
            self._seen.popleft()

    def seconds_to_trimming(self) -> float:
        """Until points may be dropped if the memory grows on as it did: 0 at once, inf never.

        0 also before Redis has said anything: nothing is known that keeps it from dropping.
        """
        if not self._seen:
            return 0.0
        now, memory = self._seen[-1]
        if not memory.limit:
            return math.inf
        room = self._threshold * memory.limit - memory.used
        then, before = self._seen[0]
        growth = memory.used - before.used
        if room <= 0:
            return 0.0
        if now - then < _SHORTEST_S or growth <= 0:
            return math.inf
        return room * (now - then) / growth


@dataclass(frozen=True, slots=True)
class ScanAtRisk:
    """What the forecast needs to know of one scan that is being saved."""

    label: str
    safe_until: float
    """Everything that was published before is on disk; on the monotonic clock."""
    kept_s: float = math.inf
    """How long Redis keeps a point by the length of its streams alone."""


@dataclass(frozen=True, slots=True)
class LossForecast:
    """The scan that is nearest to losing points."""

    seconds: float = math.inf
    """Until it loses some, at the least; infinite if none can be lost."""
    label: str = ""
    behind_s: float = 0.0
    """Age that its oldest point which is not on disk has at most."""
    urgent: bool = False
    """Somebody should look."""


def forecast_loss(
    scans: Iterable[ScanAtRisk], trend: MemoryTrend, settings: SaverSettings, now: float
) -> LossForecast:
    """The forecast for scans that are being saved.

    Args:
        scans: all of them.
        trend: of the memory of Redis.
        settings: say what the memory tracker spares.
        now: on the monotonic clock.
    """
    to_trimming_s = trend.seconds_to_trimming()
    nearest = LossForecast()
    for scan in scans:
        behind_s = max(0.0, now - scan.safe_until)
        by_age_s = max(settings.trim_age_s - behind_s, to_trimming_s)
        seconds = max(0.0, min(by_age_s, scan.kept_s - behind_s))
        if seconds < nearest.seconds:
            at_best_s = min(settings.trim_age_s, scan.kept_s)
            urgent = seconds <= min(URGENT_S, at_best_s / 2)
            nearest = LossForecast(round(seconds), scan.label, round(behind_s), urgent)
    return nearest


class LossWatch:
    """The forecast, kept up to date.

    Args:
        settings: where Redis is, and what is dropped there.
        post: takes ``MemorySeen`` from a thread, to be given to ``saw``.
    """

    def __init__(self, settings: SaverSettings, post: Callable[[MemorySeen], None]) -> None:
        self._settings = settings
        self._trend = MemoryTrend(settings.trim_memory_percent / 100)
        self._watch = RedisWatch(settings, post)

    def saw(self, seen: MemorySeen) -> None:
        """Redis has told its memory."""
        self._trend.saw(time.monotonic(), seen.memory)

    def forecast(self, scans: Iterable[ScanAtRisk]) -> LossForecast:
        """The forecast for scans that are being saved now."""
        return forecast_loss(scans, self._trend, self._settings, time.monotonic())

    def close(self) -> None:
        """Watch no more; returns at once."""
        self._watch.close()
