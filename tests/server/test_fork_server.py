"""The process that all workers come from may be killed, as by a system that is short of memory."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import tango
from devices import Publish, SaverDevice, assert_saved_completely
from waiting import wait_until

pytestmark = pytest.mark.tango


def fork_server(device: SaverDevice) -> psutil.Process:
    """The child of the server that is no resource tracker."""
    (found,) = (
        child
        for child in psutil.Process(device.server.pid).children()
        if "resource_tracker" not in " ".join(child.cmdline())
    )
    return found


def test_scans_are_saved_after_the_fork_server_was_killed(
    saver_device: SaverDevice, publish: Publish, tmp_path: Path
) -> None:
    fork_server(saver_device).kill()

    for number in range(3):
        publish("ascan", file=f"{number}.h5")
        wait_until(lambda number=number: saver_device.proxy.ScansSaved == number + 1)

    for number in range(3):
        assert_saved_completely("ascan", tmp_path / f"{number}.h5")
    assert saver_device.proxy.ScansFailed == 0


def test_scan_whose_worker_is_being_started_when_the_fork_server_dies_is_saved(
    saver_device: SaverDevice, publish: Publish, background: ThreadPoolExecutor, tmp_path: Path
) -> None:
    stopped = fork_server(saver_device)
    stopped.send_signal(signal.SIGSTOP)  # from now on whoever wants a worker waits
    published = [
        background.submit(publish, "ascan", file=f"{number}.h5", speed=1) for number in range(2)
    ]
    saver_device.wait_for_state(tango.DevState.RUNNING)

    stopped.kill()

    assert all(scan.result(30) for scan in published)
    wait_until(lambda: saver_device.proxy.ScansSaved + saver_device.proxy.ScansFailed == 2)
    assert saver_device.proxy.ScansFailed == 0, saver_device.proxy.status()
    for number in range(2):
        assert_saved_completely("ascan", tmp_path / f"{number}.h5")
