"""How long it takes until Redis drops points that are not saved."""

from __future__ import annotations

import math
import time

import pytest

from tango_saver.engine.loss_forecast import MemoryTrend, ScanAtRisk, forecast_loss
from tango_saver.engine.safe_moment import SafeMoment
from tango_saver.engine.wording import loss_trouble
from tango_saver.model.settings import SaverSettings
from tango_saver.source.memory import RedisMemory
from tango_saver.source.read_until import EntryRate, ReadUntil

SETTINGS = SaverSettings(trim_age_s=180, trim_memory_percent=80)
NOW = 10_000.0


def memory_of(*used: int, limit: int = 1000, period_s: float = 10.0) -> MemoryTrend:
    """Redis with this memory at moments before now, a few seconds from each other."""
    trend = MemoryTrend(SETTINGS.trim_memory_percent / 100)
    for index, n_bytes in enumerate(used):
        age_s = (len(used) - 1 - index) * period_s
        trend.saw(NOW - age_s, RedisMemory(n_bytes, limit))
    return trend


def behind(seconds: float, label: str = "1_ascan", kept_s: float = math.inf) -> ScanAtRisk:
    return ScanAtRisk(label, NOW - seconds, kept_s)


FULL = memory_of(850, 860)


def test_nothing_can_be_lost_without_a_scan_or_a_limit_of_the_memory() -> None:
    assert forecast_loss([], FULL, SETTINGS, NOW).seconds == math.inf
    unlimited = memory_of(850, 860, limit=0)
    assert forecast_loss([behind(1000)], unlimited, SETTINGS, NOW).seconds == math.inf


@pytest.mark.parametrize(("behind_s", "left_s"), [(0, 180), (1, 179), (179, 1), (180, 0), (900, 0)])
def test_when_the_memory_is_nearly_full_the_age_of_the_oldest_point_counts(
    behind_s: float, left_s: float
) -> None:
    assert forecast_loss([behind(behind_s)], FULL, SETTINGS, NOW).seconds == left_s


def test_old_points_are_safe_as_long_as_the_memory_takes_to_fill() -> None:
    growing = memory_of(200, 300, 400)  # 10 a second, 400 below what is trimmed at
    assert forecast_loss([behind(900)], growing, SETTINGS, NOW).seconds == 40
    assert forecast_loss([behind(10)], growing, SETTINGS, NOW).seconds == 170
    assert forecast_loss([behind(900)], memory_of(400, 400), SETTINGS, NOW).seconds == math.inf
    assert forecast_loss([behind(900)], memory_of(400), SETTINGS, NOW).seconds == math.inf


def test_only_the_last_minute_of_growth_counts() -> None:
    grew = memory_of(100, *[400] * 8)
    assert grew.seconds_to_trimming() == math.inf


def test_as_long_as_redis_has_said_nothing_the_worst_is_assumed() -> None:
    assert forecast_loss([behind(100)], memory_of(), SETTINGS, NOW).seconds == 80


def test_short_streams_of_bliss_1_are_lost_sooner_whatever_the_memory() -> None:
    idle = memory_of(10, 10)
    assert forecast_loss([behind(5, kept_s=20.0)], idle, SETTINGS, NOW).seconds == 15


def test_the_scan_that_is_furthest_behind_is_named_in_time() -> None:
    scans = [behind(1, "1_ascan"), behind(130, "2_amesh"), behind(2, "3_ct")]
    loss = forecast_loss(scans, FULL, SETTINGS, NOW)
    assert (loss.label, loss.seconds, loss.behind_s, loss.urgent) == ("2_amesh", 50, 130, True)
    assert "2_amesh may lose points in 50 s" in loss_trouble(loss)
    assert "at any moment" in loss_trouble(forecast_loss([behind(999)], FULL, SETTINGS, NOW))


@pytest.mark.parametrize(("behind_s", "kept_s"), [(119, math.inf), (1, 20.0), (9, 20.0)])
def test_there_is_no_alarm_while_most_of_the_time_is_left(behind_s: float, kept_s: float) -> None:
    loss = forecast_loss([behind(behind_s, kept_s=kept_s)], FULL, SETTINGS, NOW)
    assert not loss.urgent
    assert loss_trouble(loss) == ""


def test_points_are_safe_only_once_the_file_has_them() -> None:
    safe = SafeMoment()
    assert safe.until == 0
    now = time.monotonic()
    safe.note(now, dirty_since=0.0)
    assert now - 2 < safe.until <= now
    before = safe.until
    safe.note(now + 100, dirty_since=now)  # appended, and not flushed
    assert safe.until == before
    safe.note(now + 200, dirty_since=time.monotonic())  # what was appended before is flushed
    assert now + 98 < safe.until <= now + 100
    safe.note(now + 300, dirty_since=0.0)
    assert now + 298 < safe.until <= now + 300


def test_a_scan_is_read_as_far_as_its_slowest_channel() -> None:
    read = ReadUntil()
    read.read(["a", "b"], 100.0, {"b"})
    assert read.of(["a"]) == 100
    assert read.of(["a", "b"]) == 0
    read.read(["b"], 120.0, ())
    assert read.of(["a", "b"]) == 100
    assert read.of([]) <= time.monotonic()


def test_the_rate_is_that_of_what_was_published_meanwhile() -> None:
    rate = EntryRate()
    rate.saw("a", 5000)  # published at any time
    rate.caught_up(100.0)
    for second in range(1, 11):
        rate.saw("a", 40)
        rate.saw("b", 3)
        rate.caught_up(100.0 + second)
    assert rate.fastest == 40
