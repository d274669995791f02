"""What the device forecasts: when points may be lost, and when the disk is full."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import tango
from devices import HeldScan, Publish, SaverDevice, Subscribe

pytestmark = pytest.mark.tango


def test_a_scan_that_redis_keeps_for_less_than_a_minute_shows_an_alarm_quality(
    saver_device: SaverDevice,
    publish: Publish,
    background: ThreadPoolExecutor,
    subscribe: Subscribe,
) -> None:
    assert saver_device.proxy.SecondsToDataLoss == math.inf
    saver_device.put(trim_age="40", trim_memory="0")
    saver_device.proxy.Init()
    events = subscribe(saver_device, "SecondsToDataLoss", "State")
    scan = HeldScan(publish, background, "ascan")
    events.wait_for(lambda seen: 20 < seen.of("SecondsToDataLoss")[-1] <= 40)
    found = saver_device.proxy.read_attribute("SecondsToDataLoss")
    assert found.quality is tango.AttrQuality.ATTR_ALARM
    # half of what there is at best is left: nobody has to look
    assert saver_device.proxy.state() is tango.DevState.RUNNING
    scan.let_go()
    events.wait_for(lambda seen: seen.of("SecondsToDataLoss")[-1] == math.inf)
    found = saver_device.proxy.read_attribute("SecondsToDataLoss")
    assert found.quality is tango.AttrQuality.ATTR_VALID


def test_the_levels_of_the_forecasts_are_those_that_are_documented(
    saver_device: SaverDevice,
) -> None:
    levels = {
        config.name: (config.alarms.min_warning, config.alarms.min_alarm)
        for config in saver_device.proxy.get_attribute_config_ex(
            ["SecondsToDataLoss", "DiskTimeLeft"]
        )
    }
    assert levels == {"SecondsToDataLoss": ("120", "60"), "DiskTimeLeft": ("3600", "600")}


def test_the_disk_is_never_full_while_nothing_is_written(
    saver_device: SaverDevice, publish: Publish, subscribe: Subscribe
) -> None:
    events = subscribe(saver_device, "DiskTimeLeft", "DiskFree", "DataRate")
    assert math.isnan(saver_device.proxy.DiskTimeLeft)
    publish("mca")
    events.wait_for(
        lambda seen: (
            any(rate > 0 for rate in seen.of("DataRate"))
            and any(0 < left < math.inf for left in seen.of("DiskTimeLeft"))
        )
    )
    events.wait_for(lambda seen: seen.of("DiskTimeLeft")[-1] == math.inf)
