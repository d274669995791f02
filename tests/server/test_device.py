"""The device as a client sees it: attributes, events, commands, one scan from end to end."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tango
from devices import (
    SESSION,
    Events,
    HeldScan,
    Publish,
    SaverDevice,
    StartDevice,
    Subscribe,
    assert_saved_completely,
)

from tango_saver.demo.redis_server import free_port

pytestmark = pytest.mark.tango

_ON, _OFF = tango.DevState.ON, tango.DevState.OFF
_RUNNING, _MOVING, _ALARM = tango.DevState.RUNNING, tango.DevState.MOVING, tango.DevState.ALARM


def _finished(events: Events, number: int) -> bool:
    return bool(events.of("ScansSaved")) and events.of("ScansSaved")[-1] >= number


def test_every_attribute_has_label_doc_and_is_read_only(saver_device: SaverDevice) -> None:
    configs = [
        config
        for config in saver_device.proxy.attribute_list_query()
        if config.name not in ("State", "Status")
    ]

    assert len(configs) > 20
    for config in configs:
        is_one_word = config.name.capitalize() == config.name
        assert config.label != config.name or is_one_word, config.name
        assert config.description not in ("", "No description"), config.name
        assert config.writable is tango.AttrWriteType.READ, config.name


def test_every_command_has_a_doc(saver_device: SaverDevice) -> None:
    infos = {info.cmd_name: info for info in saver_device.proxy.command_list_query()}

    for name in ("Start", "Stop", "SaveScan", "StopScan", "Reset"):
        assert infos[name].in_type_desc not in ("", "Uninitialised"), name


@pytest.mark.parametrize("kind", ["CHANGE_EVENT", "ARCHIVE_EVENT"])
def test_every_attribute_pushes_events_without_polling(
    saver_device: SaverDevice, subscribe: Subscribe, kind: str
) -> None:
    names = [config.name for config in saver_device.proxy.attribute_list_query()]
    events = subscribe(saver_device, *names, kind=getattr(tango.EventType, kind))

    # the first event comes from subscribing, the second was pushed: all values are at Init
    saver_device.proxy.Init()
    events.wait_for(lambda seen: all(len(seen.of(name)) >= 2 for name in names))

    assert not [name for name in names if saver_device.proxy.is_attribute_polled(name)]


def test_scan_is_saved_and_events_tell_it_in_order(
    saver_device: SaverDevice,
    subscribe: Subscribe,
    publish: Publish,
    tmp_path: Path,
) -> None:
    events = subscribe(
        saver_device, "State", "CurrentScan", "LastFile", "ScansSaved", "RunningScans"
    )

    publish("ascan", file="step.h5")
    events.wait_for(lambda seen: _finished(seen, 1) and seen.of("State")[-1] is _ON)

    assert events.changes_of("State") == [_ON, _RUNNING, _ON]
    assert events.of("LastFile")[-1] == str(tmp_path / "step.h5")
    current = events.of("CurrentScan")
    assert current[0] == current[-1] == ""
    assert any("ascan" in scan for scan in current)
    assert saver_device.proxy.PointsSaved > 0
    assert saver_device.proxy.ScansFailed == 0
    assert "ascan" in saver_device.proxy.FinishedScans[0]
    assert_saved_completely("ascan", tmp_path / "step.h5")


def test_progress_is_a_percentage_of_each_running_scan(
    saver_device: SaverDevice,
    subscribe: Subscribe,
    publish: Publish,
    background: ThreadPoolExecutor,
) -> None:
    def known(events: Events) -> list[float]:
        shown = [value[0] for value in events.of("ScanProgress") if len(value)]
        return [percent for percent in shown if not math.isnan(percent)]

    events = subscribe(saver_device, "ScanProgress", "ScansSaved")
    scan = HeldScan(publish, background, "ascan")
    events.wait_for(known)
    scan.let_go()
    events.wait_for(lambda seen: _finished(seen, 1) and not len(seen.of("ScanProgress")[-1]))

    assert known(events)[0] == 0
    assert known(events) == sorted(known(events))
    assert known(events)[-1] <= 100


def test_start_and_stop_may_be_repeated(saver_device: SaverDevice) -> None:
    proxy = saver_device.proxy

    proxy.Start()
    assert proxy.state() is _ON
    proxy.Stop()
    assert proxy.state() in (_MOVING, _OFF)
    proxy.Stop()
    saver_device.wait_for_state(_OFF)
    assert "Start" in proxy.status()
    proxy.Start()
    assert proxy.state() is _ON
    proxy.Start()

    assert proxy.state() is _ON


def test_stop_lets_the_running_scan_finish(
    saver_device: SaverDevice,
    subscribe: Subscribe,
    held_scan: HeldScan,
) -> None:
    events = subscribe(saver_device, "State", "ScansSaved")

    saver_device.proxy.Stop()
    assert saver_device.proxy.state() is _MOVING
    held_scan.let_go()
    events.wait_for(lambda seen: seen.of("State")[-1] is _OFF)

    assert events.changes_of("State") == [_RUNNING, _MOVING, _OFF]
    assert saver_device.proxy.ScansSaved == 1
    assert_saved_completely("ascan", Path(saver_device.proxy.LastFile))


def test_last_file_survives_stop_and_restart(
    saver_device: SaverDevice,
    subscribe: Subscribe,
    publish: Publish,
) -> None:
    events = subscribe(saver_device, "ScansSaved", "State")
    publish("ascan")
    events.wait_for(lambda seen: _finished(seen, 1))
    last_file = saver_device.proxy.LastFile
    saver_device.proxy.Stop()
    events.wait_for(lambda seen: seen.of("State")[-1] is _OFF)
    assert saver_device.proxy.LastFile == last_file != ""

    assert saver_device.server.stop() == 0
    saver_device.server.start()

    assert saver_device.proxy.LastFile == last_file


@pytest.mark.parametrize(
    ("name", "value"),
    [("workers", "four"), ("layout", "papyrus"), ("beacon_host", f"127.0.0.1:{free_port()}")],
    ids=["wrong type", "wrong value", "Beacon is away"],
)
def test_last_file_is_shown_while_the_properties_cannot_be_used(
    saver_device: SaverDevice, subscribe: Subscribe, publish: Publish, name: str, value: str
) -> None:
    events = subscribe(saver_device, "ScansSaved")
    publish("ascan")
    events.wait_for(lambda seen: _finished(seen, 1))
    last_file = saver_device.proxy.LastFile

    saver_device.put(**{name: value})
    saver_device.proxy.Init()
    saver_device.wait_for_state(tango.DevState.FAULT)
    assert saver_device.proxy.LastFile == last_file != ""

    assert saver_device.server.stop() == 0
    saver_device.server.start()
    saver_device.wait_for_state(tango.DevState.FAULT)
    assert saver_device.proxy.LastFile == last_file


def test_last_file_in_fault_is_that_of_a_scan_that_is_finished_then(
    saver_device: SaverDevice, held_scan: HeldScan, subscribe: Subscribe
) -> None:
    events = subscribe(saver_device, "LastFile")
    saver_device.put(workers="four")
    saver_device.proxy.Init()
    assert saver_device.proxy.state() is tango.DevState.FAULT
    assert saver_device.proxy.LastFile == ""

    held_scan.let_go()
    events.wait_for(lambda seen: seen.of("LastFile")[-1])

    assert_saved_completely("ascan", Path(saver_device.proxy.LastFile))


def test_scan_can_be_saved_on_demand_while_stopped(
    saver_device: SaverDevice,
    subscribe: Subscribe,
    publish: Publish,
) -> None:
    events = subscribe(saver_device, "ScansSaved")
    saver_device.proxy.Stop()
    saver_device.wait_for_state(_OFF)
    (key,) = publish("ascan")

    saver_device.proxy.SaveScan(key)
    events.wait_for(lambda seen: _finished(seen, 1))

    saver_device.wait_for_state(_OFF)
    assert_saved_completely("ascan", Path(saver_device.proxy.LastFile))


def test_saving_of_a_running_scan_can_be_ended(
    saver_device: SaverDevice, held_scan: HeldScan, subscribe: Subscribe
) -> None:
    events = subscribe(saver_device, "RunningScans", "FinishedScans")
    (name,) = saver_device.proxy.RunningScans

    saver_device.proxy.StopScan(name)
    events.wait_for(lambda seen: len(seen.of("RunningScans")[-1]) == 0)
    events.wait_for(lambda seen: "SAVING_STOPPED" in " ".join(seen.of("FinishedScans")[-1]))

    assert held_scan.key


def test_unknown_scan_is_refused_in_one_line(saver_device: SaverDevice) -> None:
    with pytest.raises(tango.DevFailed) as caught:
        saver_device.proxy.StopScan("esrf:scan:nothing")

    assert caught.value.args[0].reason == "UNKNOWN_SCAN"
    assert "\n" not in caught.value.args[0].desc
    assert "esrf:scan:nothing" in caught.value.args[0].desc


def test_failed_scan_is_an_alarm_until_reset(
    start_device: StartDevice,
    redis_url: str,
    publish: Publish,
    tmp_path: Path,
) -> None:
    device = start_device(
        session=SESSION, redis_url=redis_url, allowed_roots=str(tmp_path / "elsewhere")
    )
    device.wait_for_state(_ON)

    publish("ascan")
    device.wait_for_state(_ALARM)
    assert device.proxy.ScansFailed == 1
    assert "elsewhere" in device.proxy.LastError + device.proxy.status()
    device.proxy.Reset()

    device.wait_for_state(_ON)


def test_init_with_the_same_properties_does_not_disturb_a_running_scan(
    saver_device: SaverDevice,
    held_scan: HeldScan,
    subscribe: Subscribe,
) -> None:
    events = subscribe(saver_device, "ScansSaved")

    saver_device.proxy.Init()
    saver_device.admin.DevRestart(saver_device.name)
    assert len(saver_device.proxy.RunningScans) == 1
    held_scan.let_go()
    events.wait_for(lambda seen: _finished(seen, 1))

    assert_saved_completely("ascan", Path(saver_device.proxy.LastFile))


def test_init_with_other_properties_finishes_the_running_scan_and_saves_the_next(
    saver_device: SaverDevice,
    held_scan: HeldScan,
    subscribe: Subscribe,
    publish: Publish,
    tmp_path: Path,
) -> None:
    saver_device.put(workers="2")
    saver_device.proxy.Init()
    events = subscribe(saver_device, "ScansSaved", "Status")
    assert "before Init" in saver_device.proxy.status()

    publish("ascan", file="next.h5")
    events.wait_for(lambda seen: _finished(seen, 1))
    held_scan.let_go()
    events.wait_for(lambda seen: "before Init" not in seen.of("Status")[-1])

    assert "workers = 2" in saver_device.proxy.Settings
    assert_saved_completely("ascan", tmp_path / "next.h5")
    assert_saved_completely("ascan", tmp_path / "data.h5")
