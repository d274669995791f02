"""The server process: as Starter, Astor and Jive handle it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import tango
from devices import HeldScan, SaverDevice, StartDevice, Subscribe, assert_saved_completely
from waiting import wait_until

from tango_saver import __version__
from tango_saver.control.register import register
from tango_saver.control.server import EXIT_UNFINISHED
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.redis_server import free_port

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

        assert set(admin.QueryClass()) == {"TangoSaver", "NexusWriter", "BlissWriter"}
        assert "session" in list(admin.QueryWizardDevProperty("TangoSaver"))


def test_device_tells_its_version(saver_device: SaverDevice) -> None:
    assert saver_device.proxy.info().version_info["TangoSaver"] == __version__
    assert saver_device.proxy.Version == __version__


@pytest.mark.parametrize("restart", ["Init", "DevRestart", "RestartServer"])
def test_subscriptions_outlive_a_restart_of_the_device(
    saver_device: SaverDevice, subscribe: Subscribe, restart: str
) -> None:
    events = subscribe(saver_device, "State", "Settings")
    saver_device.put(workers="3")

    if restart == "Init":
        saver_device.proxy.Init()
    elif restart == "DevRestart":
        saver_device.admin.DevRestart(saver_device.name)
    else:
        saver_device.admin.RestartServer()
    events.wait_for(lambda seen: "workers = 3" in seen.of("Settings")[-1])
    events.wait_for(lambda seen: seen.of("State")[-1] is _ON)
    saver_device.proxy.Stop()
    events.wait_for(lambda seen: seen.of("State")[-1] is _OFF)


def test_many_inits_and_restarts_leave_a_working_device(saver_device: SaverDevice) -> None:
    for number in range(30):
        saver_device.put(workers=str(1 + number % 2))
        saver_device.proxy.Init()
        saver_device.admin.DevRestart(saver_device.name)
        saver_device.proxy.Start()

    saver_device.wait_for_state(_ON)


def test_a_server_that_starter_started_with_signals_blocked_ends_when_it_is_told(
    start_device: StartDevice, redis_url: str
) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        device = start_device(session="blocked", redis_url=redis_url)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    device.wait_for_state(_ON)
    wait_until(lambda: device.proxy.Workers == 1)

    device.admin.Kill()

    process = device.server._process
    assert process is not None
    assert process.wait(20) == 0


def test_a_server_that_is_stopped_while_redis_is_away_does_not_claim_to_hear_again(
    start_device: StartDevice,
) -> None:
    device = start_device(
        session="deaf", redis_url=f"redis://127.0.0.1:{free_port()}", redis_timeout="1"
    )
    device.wait_for_state(tango.DevState.ALARM)

    device.server.stop()

    log = device.server.log.read_text()
    assert "Redis does not answer" in log
    assert "works again" not in log


def test_the_log_says_when_the_server_is_ready_and_when_it_has_ended(
    saver_device: SaverDevice,
) -> None:
    name = f"TangoSaver/{saver_device.instance}"
    assert f"{name} is ready, tango_saver {__version__}" in saver_device.server.log.read_text()

    saver_device.server.stop()

    assert f"{name} has ended" in saver_device.server.log.read_text()


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


def test_ended_server_finishes_the_running_scan_first(
    saver_device: SaverDevice, held_scan: HeldScan, tmp_path: Path
) -> None:
    target = tmp_path / "data.h5"
    process = saver_device.server._process
    assert process is not None

    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    held_scan.let_go()

    assert process.wait(30) == 0
    assert_saved_completely("ascan", target)


def test_ended_server_waits_for_a_running_scan_no_longer_than_it_may(
    saver_device: SaverDevice, held_scan: HeldScan
) -> None:
    saver_device.put(finish_timeout="0.5")
    saver_device.proxy.Init()
    process = saver_device.server._process
    assert process is not None
    children = _children(process.pid)

    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == EXIT_UNFINISHED == 3
    _wait_until_gone(children)
    assert held_scan.key


def test_fault_of_one_device_leaves_the_others_of_the_server_alone(
    saver_device: SaverDevice, redis_url: str
) -> None:
    second = f"{saver_device.name}_second"
    register(
        saver_device.database,
        server_instance=f"TangoSaver/{saver_device.instance}",
        device=second,
        properties={"session": ["other"], "redis_url": [redis_url], "workers": ["many"]},
    )

    saver_device.admin.RestartServer()
    _wait_until(lambda: second in saver_device.database.get_device_exported("test/*"))

    assert tango.DeviceProxy(second).state() is tango.DevState.FAULT
    assert saver_device.proxy.state() is _ON


@pytest.mark.slow  # Tango clients look every ten seconds whether the server is back
def test_killed_server_leaves_no_process_and_starts_again(
    saver_device: SaverDevice, subscribe: Subscribe
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
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _wait_until_gone(pids: list[int]) -> None:
    _wait_until(lambda: not any(map(_is_alive, pids)))


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
