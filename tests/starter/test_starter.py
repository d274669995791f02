"""Astor's way with the server: Debian's Starter, on a Tango database on MariaDB."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import tango
from devices import HeldScan, assert_saved_completely
from waiting import wait_until

from tango_saver import __version__

from .beamline import MariaDbTangoDatabase, Starter
from .conftest import AstorsServer, Row, tango_saver_register

pytestmark = pytest.mark.starter


def test_registering_again_changes_nothing_on_mariadb(
    tango_database: MariaDbTangoDatabase,
) -> None:
    arguments = ("--session", "twice", "--domain", "id99", "--allowed-root", "/data",
                 "--allowed-root", "/scratch", "--property", "workers=2")  # fmt: skip

    first = tango_saver_register(tango_database, *arguments)
    again = tango_saver_register(tango_database, *arguments)

    assert all("registered in TangoSaver/twice" in line for line in first)
    assert [line.rpartition(": ")[2] for line in again] == ["nothing to change"] * 3
    database = tango_database.client
    for class_name in ("TangoSaver", "NexusWriter", "BlissWriter"):
        (name,) = database.get_device_name("TangoSaver/twice", class_name)
        found = database.get_device_property(name, ["session", "allowed_roots", "workers"])
        assert {key: list(values) for key, values in found.items()} == {
            "session": ["twice"],
            "allowed_roots": ["/data", "/scratch"],
            "workers": ["2"],
        }
        assert list(database.get_class_property(class_name, "Description")["Description"])


def test_a_started_server_runs_and_its_log_says_so(server: AstorsServer) -> None:
    server.start()

    assert server.device.state() is tango.DevState.ON
    assert f"{server.name} is ready, tango_saver {__version__}" in server.log


def test_a_stopped_server_ends_and_leaves_no_process(server: AstorsServer) -> None:
    process = server.start()
    processes = [process, *process.children(recursive=True)]

    server.starter.proxy.DevStop(server.name)
    server.wait_until_stopped()

    gone, alive = psutil.wait_procs(processes, 20)
    assert not alive
    assert len(gone) > 1
    assert f"{server.name} has ended" in server.log


def test_a_server_that_is_stopped_in_mid_scan_finishes_the_scan_first(
    server: AstorsServer, scan_in_mid_run: HeldScan, tmp_path: Path
) -> None:
    process = server.process

    server.starter.proxy.DevStop(server.name)
    wait_until(lambda: not server.answers())
    assert process.is_running()
    scan_in_mid_run.let_go()
    server.wait_until_stopped()

    server.start()
    assert_saved_completely("ascan", Path(server.device.LastFile))
    assert Path(server.device.LastFile).is_relative_to(tmp_path)
    assert int(server.device.ScansSaved) == 0, "it was saved by the process that was stopped"


def test_a_server_is_stopped_and_started_with_its_level(server: AstorsServer) -> None:
    first = server.start()
    assert server.row == Row("ON", controlled=False, level=0)

    server.set_level(2)
    wait_until(lambda: server.row == Row("ON", controlled=True, level=2))
    server.starter.proxy.DevStopAll(2)
    server.wait_until_stopped()
    server.starter.proxy.DevStartAll(2)

    assert server.wait_until_running().pid != first.pid


def test_a_server_that_is_hard_killed_in_mid_scan_goes_on_with_it_when_it_is_started_again(
    server: AstorsServer, scan_in_mid_run: HeldScan
) -> None:
    killed = server.process

    server.starter.proxy.HardKillServer(server.name)
    psutil.wait_procs([killed], 20)
    server.wait_until_stopped()
    assert server.start().pid != killed.pid
    scan_in_mid_run.let_go()

    wait_until(lambda: server.device.LastFile, 30)
    assert_saved_completely("ascan", Path(server.device.LastFile))


def test_a_server_with_a_level_is_started_when_its_host_is(
    server: AstorsServer, starter: Starter
) -> None:
    first = server.start()
    server.set_level(1)
    server.starter.proxy.DevStop(server.name)
    server.wait_until_stopped()

    starter.stop()
    starter.start()

    assert server.wait_until_running().pid != first.pid
