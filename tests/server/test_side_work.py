"""Metrics and log files of a real server, and what its exit code says."""

from __future__ import annotations

import re
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tango
from devices import SESSION, HeldScan, Publish, SaverDevice, StartDevice
from saving import kill_holder
from waiting import wait_until

from tango_saver.demo.redis_server import free_port

pytestmark = pytest.mark.tango


@pytest.fixture
def observed(start_device: StartDevice, redis_url: str, tmp_path: Path) -> tuple[SaverDevice, int]:
    """A listening device with a log folder, and the port of its metrics."""
    port = free_port()
    device = start_device(
        session=SESSION,
        redis_url=redis_url,
        metrics_port=str(port),
        log_directory=str(tmp_path / "logs"),
    )
    device.wait_for_state(tango.DevState.ON)
    return device, port


def metric(port: int, name: str, labels: str = "") -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(rf"^{name}{{[^}}]*{labels}[^}}]*}} (\S+)$", text, re.MULTILINE)
    assert len(found) == 1, text
    return float(found[0])


def lines_about(key: str, folder: Path) -> list[str]:
    text = "".join(file.read_text() for file in folder.iterdir())
    return [line for line in text.splitlines() if key in line]


def test_metrics_follow_the_attributes(observed: tuple[SaverDevice, int], publish: Publish) -> None:
    device, port = observed
    assert metric(port, "tango_saver_scans_saved_total") == 0

    publish("ascan")
    wait_until(lambda: device.proxy.ScansSaved == 1)

    assert metric(port, "tango_saver_scans_saved_total") == 1
    assert metric(port, "tango_saver_points_saved_total") == device.proxy.PointsSaved
    assert metric(port, "tango_saver_bytes_saved_total") == device.proxy.BytesSaved
    assert metric(port, "tango_saver_state", 'state="ON"') == 1
    assert metric(port, "tango_saver_state", 'state="FAULT"') == 0


def test_metrics_tell_of_a_fault(observed: tuple[SaverDevice, int]) -> None:
    device, port = observed
    device.put(workers="0")

    device.proxy.Init()

    assert metric(port, "tango_saver_state", 'state="FAULT"') == 1


def test_taken_port_is_an_alarm_that_init_ends_and_scans_are_saved(
    observed: tuple[SaverDevice, int], publish: Publish
) -> None:
    device, port = observed
    with socket.create_server(("", 0)) as taker:
        taken = taker.getsockname()[1]
        device.put(metrics_port=str(taken))
        device.proxy.Init()
    device.wait_for_state(tango.DevState.ALARM)
    assert f"metrics_port {taken} cannot be opened" in device.proxy.status()

    publish("ascan")
    wait_until(lambda: device.proxy.ScansSaved == 1)

    device.put(metrics_port=str(port))
    device.proxy.Init()
    device.wait_for_state(tango.DevState.ON)


def test_lines_of_a_scan_are_found_by_its_key_those_of_workers_too(
    observed: tuple[SaverDevice, int], publish: Publish, tmp_path: Path
) -> None:
    device, _ = observed
    first, second = publish("ascan")[0], publish("ct_saved")[0]
    wait_until(lambda: device.proxy.ScansSaved == 2)

    wait_until(lambda: any("SAVED" in line for line in lines_about(second, tmp_path / "logs")))
    lines = lines_about(first, tmp_path / "logs")
    assert any("begins [worker " in line for line in lines)
    assert not any(second in line for line in lines)


def test_dead_worker_is_in_the_lines_of_its_scan(
    observed: tuple[SaverDevice, int],
    publish: Publish,
    background: ThreadPoolExecutor,
    tmp_path: Path,
) -> None:
    device, _ = observed
    scan = HeldScan(publish, background, "ascan")
    device.wait_for_state(tango.DevState.RUNNING)

    wait_until((tmp_path / "data.h5").exists)
    kill_holder(tmp_path / "data.h5")

    wait_until(lambda: any("ERROR" in line for line in lines_about(scan.key, tmp_path / "logs")))
    scan.let_go()
    wait_until(lambda: device.proxy.ScansSaved == 1)
