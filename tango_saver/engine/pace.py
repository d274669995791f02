"""How long the writer of a scan waits for points to come together.

Reading and writing one point alone takes as long as many together. So what comes in small
portions is read about once per flush; only what people wait for is not kept waiting.
"""

from __future__ import annotations

from collections.abc import Iterable

from tango_saver.model.records import ChannelEnded, Record

_LONGEST_S = 0.25
_TOGETHER_S = 0.02
"""After the first point for a while, and after the last one of a channel: those of the other
channels are on their way."""
_LARGE = 1 << 18
"""Bytes of a portion after which there is no pause: a scan is being caught up with."""


class Pace:
    """The pauses of one scan.

    Args:
        flush_period_s: how long a point may stay invisible.
    """

    def __init__(self, flush_period_s: float) -> None:
        self._pause_s = min(_LONGEST_S, flush_period_s)
        self._took_at = 0.0

    def pause_after(self, records: Iterable[Record], n_bytes: int, now: float) -> float:
        """Seconds to wait before more is read.

        Args:
            records: that were read together.
            n_bytes: of the points in them.
            now: monotonic time.
        """
        if not n_bytes:
            return 0.0
        before, self._took_at = self._took_at, now
        if n_bytes >= _LARGE:
            return 0.0
        is_first = now - before > 2 * self._pause_s
        is_last = any(isinstance(record, ChannelEnded) for record in records)
        return min(_TOGETHER_S, self._pause_s) if is_first or is_last else self._pause_s
