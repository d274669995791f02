"""Savers that share a session, as BLISS and its users see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import h5py
import pytest
import redis
import tango
from crash.live_scan import Relay
from devices import SESSION, Publish, StartDevice
from publishing import Publishing
from saving import RunningSaver, StartSaver, points_in
from waiting import wait_until

from tango_saver.control.scans import find_scan, scan_state
from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState, ScanReport
from tango_saver.model.status import SaverState

StartSharing = Callable[..., RunningSaver]


@pytest.fixture
def start_sharing(start_saver: StartSaver, tmp_path: Path) -> StartSharing:
    """Starts savers that share a session, each as if on a host of its own."""

    def start(name: str, **settings: object) -> RunningSaver:
        folder = str(tmp_path / f"state {name}")
        return start_saver(shared_session=True, state_directory=folder, **settings)

    return start


def finished(saver: RunningSaver, key: str) -> ScanReport | None:
    return next((r for r in saver.conductor.status().finished if r.key == key), None)


def test_both_know_what_became_of_a_scan_that_one_of_them_saves(
    recordings: Path, redis_url: str, start_sharing: StartSharing, tmp_path: Path
) -> None:
    savers = [start_sharing("a"), start_sharing("b")]
    source = recordings / "ascan.json.gz"
    publishing = Publishing(source, redis_url, tmp_path / "data", speed=0, hold=True)

    def states() -> list[str]:
        found = [find_scan(s.conductor.status(), key) for s in savers for key in publishing.keys]
        return [str(scan_state(scan)) for scan in found]

    wait_until(lambda: states() == ["ON", "ON"])
    assert sum(points_in(saver.conductor.status()) > 0 for saver in savers) <= 1
    (key,) = publishing.finish()
    wait_until(lambda: states() == ["OFF", "OFF"])
    assert sum(finished(saver, key) is not None for saver in savers) == 1
    assert sum(saver.conductor.status().scans_saved for saver in savers) == 1


def test_what_one_leaves_at_its_end_the_other_takes_at_once(
    recordings: Path, redis_url: str, start_sharing: StartSharing, tmp_path: Path
) -> None:
    first = start_sharing("a")
    source = recordings / "ascan.json.gz"
    publishing = Publishing(source, redis_url, tmp_path / "data", speed=0, hold=True)
    first.wait_for(lambda status: points_in(status) == 77)
    second = start_sharing("b")
    inode = (tmp_path / "data" / "data.h5").stat().st_ino
    assert not first.conductor.shutdown(0)
    second.wait_for(lambda status: points_in(status) == 77)
    (report,) = second.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    assert not report.warnings
    assert (tmp_path / "data" / "data.h5").stat().st_ino == inode


def test_one_that_is_stopped_takes_nothing_over(
    recordings: Path, redis_url: str, start_sharing: StartSharing, tmp_path: Path
) -> None:
    stopped, first = start_sharing("a"), start_sharing("b")
    stopped.conductor.stop()
    stopped.wait_for(lambda status: status.state is SaverState.OFF)
    source = recordings / "ascan.json.gz"
    (key,) = replay(source, redis_url, tmp_path / "data", speed=0)
    assert first.reports([key])[0].state is SavingState.SAVED
    assert finished(stopped, key) is None


def test_one_that_is_cut_off_from_redis_stops_writing_and_the_other_goes_on(
    recordings: Path, redis_url: str, start_sharing: StartSharing, tmp_path: Path
) -> None:
    relay = Relay(urlsplit(redis_url).port or 0)
    first = start_sharing("a", redis_url=relay.url)
    path = tmp_path / "data" / "data.h5"
    publishing = Publishing(
        recordings / "ascan.json.gz", redis_url, path.parent, speed=0, hold=True
    )
    first.wait_for(lambda status: points_in(status) == 77)
    second = start_sharing("b")
    relay.cut()
    second.wait_for(lambda status: points_in(status) == 77)
    assert any("claims cannot be" in alarm for alarm in first.conductor.status().alarms)
    relay.restore()
    (told,) = first.reports(publishing.keys)
    assert told.state is SavingState.MOVED
    assert "has taken its saving over" in told.error
    (report,) = second.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    with h5py.File(path) as file:
        assert sorted(file) == ["1.1"]
        assert len(file["1.1/measurement/robx"]) == 11


@pytest.mark.tango
def test_two_devices_with_the_property_save_each_scan_once(
    start_device: StartDevice, redis_url: str, publish: Publish, tmp_path: Path
) -> None:
    devices = [
        start_device(
            session=SESSION,
            redis_url=redis_url,
            shared_session="true",
            state_directory=str(tmp_path / f"state {name}"),
        )
        for name in "ab"
    ]
    for device in devices:
        device.wait_for_state(tango.DevState.ON)
        assert "shared_session" in str(device.proxy.Settings)
    publish("ascan")
    wait_until(lambda: sum(device.proxy.ScansSaved for device in devices) == 1)
    assert sum(device.proxy.PointsSaved for device in devices) == 77
    assert [device.proxy.ScansFailed for device in devices] == [0, 0]


def test_a_saver_alone_makes_no_claims(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    saver.reports(replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0))
    with redis.Redis.from_url(redis_url) as client:
        assert not client.keys("tango_saver:*")
