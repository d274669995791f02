"""Points that come in small portions are read together; nobody waits for the first or the last."""

from __future__ import annotations

import numpy as np

from tango_saver.engine.pace import Pace
from tango_saver.model.records import ChannelEnded, PointsArrived, Record

_POINT = PointsArrived("diode", 0, np.array([1.0]))
_PERIOD_S = 0.25


def _pauses(portions: list[tuple[float, list[Record], int]]) -> list[float]:
    pace = Pace(_PERIOD_S)
    return [pace.pause_after(records, n_bytes, now) for now, records, n_bytes in portions]


def test_small_portions_are_read_once_per_flush() -> None:
    first, *others = _pauses([(10.0 + 0.26 * n, [_POINT], 8) for n in range(20)])
    assert first < 0.05
    assert others == [_PERIOD_S] * 19


def test_after_a_silence_the_other_channels_are_waited_for_but_a_moment() -> None:
    pauses = _pauses([(10.0, [_POINT], 8), (10.02, [_POINT], 8), (11.0, [_POINT], 8)])
    assert pauses[1] == _PERIOD_S
    assert 0.0 < pauses[2] < 0.05


def test_the_end_of_a_scan_is_not_kept_waiting() -> None:
    ended = ChannelEnded("diode", 2)
    pauses = _pauses([(10.0, [_POINT], 8), (10.02, [_POINT], 8), (10.27, [_POINT, ended], 8)])
    assert 0.0 < pauses[2] < 0.05


def test_a_scan_that_is_caught_up_with_never_pauses() -> None:
    assert _pauses([(10.0 + n, [_POINT], 1 << 20) for n in range(5)]) == [0.0] * 5


def test_nothing_is_waited_for_after_records_without_points() -> None:
    assert _pauses([(10.0, [ChannelEnded("diode", 0)], 0)]) == [0.0]


def test_no_pause_is_longer_than_the_period_of_flushes() -> None:
    pace = Pace(0.01)
    assert [pace.pause_after([_POINT], 8, 10.0 + 0.01 * n) for n in range(3)] == [0.01] * 3
