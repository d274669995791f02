"""The server process: as Starter, Astor and Jive handle it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tango

from tango_saver import __version__
from tango_saver.demo.processes import SaverServer, TangoDatabase

if TYPE_CHECKING:
    from tests.server.conftest import Events, SaverDevice

pytestmark = pytest.mark.tango


_ON, _OFF = tango.DevState.ON, tango.DevState.OFF


def test_server_without_devices_stays_up_for_the_wizard(
    tango_database: TangoDatabase, tmp_path: Path
) -> None:
    admin_name = "dserver/TangoSaver/wizard"
    entry = tango.DbDevInfo()
    entry.name, entry._class, entry.server = admin_name, "DServer", "TangoSaver/wizard"
    tango.Database("127.0.0.1", tango_database.port).add_server("TangoSaver/wizard", entry)

    with SaverServer(tango_database, "wizard", admin_name, tmp_path):
        admin = tango.DeviceProxy(admin_name)

        assert list(admin.QueryClass()) == ["TangoSaver"]
        assert "session" in list(admin.QueryWizardDevProperty("TangoSaver"))


def test_device_tells_its_version(saver_device: SaverDevice) -> None:
    assert saver_device.proxy.info().version_info["TangoSaver"] == __version__
    assert saver_device.proxy.Version == __version__


def test_subscriptions_outlive_restarts_of_the_device_and_of_all_devices(
    saver_device: SaverDevice, subscribe: Callable[..., Events]
) -> None:
    events = subscribe(saver_device, "State")
    for restart in (
        lambda: saver_device.admin.DevRestart(saver_device.name),
        saver_device.admin.RestartServer,
        saver_device.proxy.Init,
    ):
        so_far = len(events.of("State"))
        restart()
        events.wait_for(lambda seen, n=so_far: _ON in seen.of("State")[n:])
        saver_device.proxy.Stop()
        events.wait_for(lambda seen, n=so_far: _OFF in seen.of("State")[n:])
        saver_device.proxy.Start()
        events.wait_for(lambda seen: seen.of("State")[-1] is _ON)


def test_many_inits_and_restarts_leave_a_working_device(saver_device: SaverDevice) -> None:
    for number in range(30):
        saver_device.put(workers=str(1 + number % 2))
        saver_device.proxy.Init()
        saver_device.admin.DevRestart(saver_device.name)
        saver_device.proxy.Start()

    saver_device.wait_for_state(_ON)


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "Kill"])
def test_server_ends_cleanly_and_leaves_no_process(saver_device: SaverDevice, end: str) -> None:
    process = saver_device.server._process
    assert process is not None
    children = _children(process.pid)

    if end == "Kill":
        saver_device.admin.Kill()
    else:
        process.send_signal(getattr(signal, end))

    assert process.wait(30) == 0
    assert children
    _wait_until_gone(children)


def test_killed_server_leaves_no_process_and_starts_again(
    saver_device: SaverDevice, subscribe: Callable[..., Events]
) -> None:
    events = subscribe(saver_device, "State")
    process = saver_device.server._process
    assert process is not None
    children = _children(process.pid)

    process.kill()
    process.wait()
    _wait_until_gone(children)
    so_far = len(events.of("State"))
    saver_device.server.start()

    # by itself, without Start, and with the subscription of before
    events.wait_for(lambda seen: _ON in seen.of("State")[so_far:], 60)


def test_log_of_the_server_is_not_empty_while_it_runs(saver_device: SaverDevice) -> None:
    assert "Ready to accept request" in saver_device.server.log.read_text()


def test_log_goes_to_the_log_target_of_the_device_too(
    saver_device: SaverDevice, tmp_path: Path
) -> None:
    target = tmp_path / "device.log"
    saver_device.proxy.set_logging_level(5)
    saver_device.proxy.add_logging_target(f"file::{target}")

    saver_device.put(workers="four")
    saver_device.proxy.Init()

    assert "workers" in target.read_text()


def _children(pid: int) -> list[int]:
    """All descendants of a process."""
    direct = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return direct + [grandchild for child in direct for grandchild in _children(child)]


def _is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(map(_is_alive, pids)):
        assert time.monotonic() < deadline, [pid for pid in pids if _is_alive(pid)]
        time.sleep(0.02)
