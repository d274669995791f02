"""Real BLISS 2.2.1 with ``SCAN_SAVING.writer = 'nexus'``: our NexusWriter is its writer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import tango
from bliss.beamline import (
    Beamline,
    BlissError,
    BlissShell,
    ReturnedScan,
    changed_properties,
    wait_until,
)

from tango_saver.demo.redis_server import free_port

# The first run installs BLISS.
pytestmark = [pytest.mark.bliss, pytest.mark.tango, pytest.mark.timeout(900)]

_HERE = Path(__file__).parent
_WRITER = "demo/nexus_writer/demo"
_SCANS = {
    "ascan": "ascan(robx, 0, 1, 10, 0.02, diode, diode2)",
    "loopscan": "loopscan(5, 0.05, diode)",
    "mca": "loopscan(4, 0.05, mca, diode)",
    "amesh": "amesh(robx, 0, 1, 3, roby, 0, 2, 2, 0.01, diode)",
    "count": "sct(0.05, diode)",
}
_folders = itertools.count(1)


@pytest.fixture
def writer(saver: tango.DeviceProxy, beamline: Beamline) -> tango.DeviceProxy:
    """The device that BLISS finds, in the server of the saver and with workers ready."""
    device = tango.DeviceProxy(f"tango://{beamline.beacon.host}/{_WRITER}")
    wait_until(lambda: device.State() == tango.DevState.ON and saver.Workers > 0, "listening")
    return device


@pytest.fixture
def shell(session: BlissShell, beamline: Beamline) -> Iterator[BlissShell]:
    """A session that saves with this writer, into a new folder."""
    session.enter("SCAN_SAVING.writer = 'nexus'")
    session.enter(f"SCAN_SAVING.base_path = {str(beamline.data_root / f'w{next(_folders)}')!r}")
    yield session
    session.enter("SCAN_SAVING.writer = 'external'")
    session.enter(f"SCAN_SAVING.base_path = {str(beamline.data_root)!r}")


def _refusal(shell: BlissShell, typed: str = _SCANS["loopscan"]) -> str:
    """What the user reads when the scan fails."""
    with pytest.raises(BlissError) as caught:
        shell.enter(typed)
    return str(caught.value)


def _check_saved(writer: tango.DeviceProxy, scan: ReturnedScan) -> None:
    """The writer says that the scan is saved, and every value of BLISS is in the file."""
    name = f"{scan.number}_{scan.name}"
    wait_until(lambda: writer.scan_state(name) == tango.DevState.OFF, f"{name} saved")
    assert next(iter(writer.scan_url(name))) == f"{scan.file}::/{scan.entry}"
    with h5py.File(scan.file, locking=False) as file:
        for channel in scan.channels.values():
            np.testing.assert_array_equal(file[channel.data_path][()], channel.values)


@pytest.mark.parametrize("typed", _SCANS.values(), ids=_SCANS)
def test_a_scan_is_saved_by_the_writer_that_bliss_finds(
    writer: tango.DeviceProxy, shell: BlissShell, typed: str
) -> None:
    scan = shell.enter(typed)

    assert scan.info["data_writer"] == "nexus"
    assert scan.info["end_reason"] == "SUCCESS"
    _check_saved(writer, scan)


def test_scans_follow_each_other_without_waiting(
    writer: tango.DeviceProxy, shell: BlissShell
) -> None:
    scans = [shell.enter("loopscan(2, 0.001, diode)") for _ in range(5)]

    for scan in scans:
        _check_saved(writer, scan)


def test_two_top_masters_become_two_entries(writer: tango.DeviceProxy, shell: BlissShell) -> None:
    shell.enter(f"import sys; sys.path.append({str(_HERE)!r}); import chains")

    scan = shell.enter("chains.two_timers(diode, diode3)")

    name = f"{scan.number}_{scan.name}"
    wait_until(lambda: writer.scan_state(name) == tango.DevState.OFF, "saved")
    urls = list(writer.scan_url(name))
    assert urls == [f"{scan.file}::/{scan.number}.{index}" for index in (1, 2)]
    values = {channel.split(":")[-1]: found.values for channel, found in scan.channels.items()}
    with h5py.File(scan.file, locking=False) as file:
        for index, counter in ((1, "diode"), (2, "diode3")):
            saved = file[f"{scan.number}.{index}/measurement/{counter}"][()]
            np.testing.assert_array_equal(saved, values[counter])


def test_an_aborted_scan_is_saved_up_to_its_abort(
    writer: tango.DeviceProxy, shell: BlissShell
) -> None:
    shell.enter("import gevent")
    shell.enter("scan = loopscan(1000, 0.05, diode, run=False)")
    shell.enter("running = gevent.spawn(scan.run)")
    wait_until(lambda: writer.State() == tango.DevState.RUNNING, "saving")
    points = "max([len(stream) for stream in scan.streams.values()], default=0)"
    wait_until(lambda: shell.enter(points) > 3, "some points")

    shell.enter("running.kill(KeyboardInterrupt)")

    scan = shell.enter("scan")
    assert scan.info["end_reason"] == "USER_ABORT"
    _check_saved(writer, scan)


@pytest.mark.usefixtures("writer")
def test_a_count_that_is_not_saved_needs_no_writer(shell: BlissShell) -> None:
    shell.enter("saver.Stop()")
    wait_until(lambda: shell.enter("saver.state()") == "OFF", "stopped")

    assert shell.enter("ct(0.01, diode)").info["save"] is False


def test_a_stopped_writer_is_told_with_what_to_do(
    writer: tango.DeviceProxy, shell: BlissShell
) -> None:
    writer.stop()
    wait_until(lambda: writer.State() == tango.DevState.OFF, "stopped")

    text = _refusal(shell)

    assert text == (
        "RuntimeError: Nexus writer service is in OFF state (Stopped. Start to listen to session"
        " demo.). Call the Nexus writer 'start' method."
    )
    writer.start()
    _check_saved(writer, shell.enter(_SCANS["loopscan"]))


def test_a_wrong_property_is_told_with_its_name(
    writer: tango.DeviceProxy, shell: BlissShell
) -> None:
    with changed_properties(writer, layout="papyrus"):
        text = _refusal(shell)

    assert text.startswith("RuntimeError: Nexus writer service is in FAULT state (")
    assert "layout 'papyrus'" in text


def test_a_scan_that_the_writer_does_not_hear_of_is_told(
    writer: tango.DeviceProxy, shell: BlissShell
) -> None:
    with changed_properties(writer, redis_url=f"redis://localhost:{free_port()}"):
        text = _refusal(shell)

    assert "Nexus writer did not receive scan" in text
    assert text.endswith("_loopscan' after 10s")


def test_a_folder_outside_the_allowed_roots_is_not_made(
    writer: tango.DeviceProxy, shell: BlissShell, tmp_path: Path
) -> None:
    shell.enter(f"SCAN_SAVING.base_path = {str(tmp_path / 'forbidden')!r}")

    text = _refusal(shell)

    assert text.startswith("RuntimeError: Cannot create directory (Nexus writer FILE_UNUSABLE: ")
    assert "outside the allowed roots" in text
    assert not (tmp_path / "forbidden").exists()
    assert writer.State() == tango.DevState.ON


@pytest.mark.usefixtures("writer")
def test_a_file_outside_the_allowed_roots_is_refused_before_the_scan_starts(
    shell: BlissShell, tmp_path: Path
) -> None:
    shell.enter(f"SCAN_SAVING.base_path = {str(tmp_path)!r}")
    shell.enter("import os; os.makedirs(SCAN_SAVING.root_path, exist_ok=True)")

    assert _refusal(shell) == "RuntimeError: Nexus writer does not have write permissions"


def test_a_full_disk_is_told_before_the_scan_starts(
    writer: tango.DeviceProxy, shell: BlissShell
) -> None:
    with changed_properties(writer, disk_minimum="1e9", disk_warning="1e9"):
        text = _refusal(shell)

    assert text.startswith("RuntimeError: only ")
    assert "GB are free" in text
    assert text.endswith("Make room on that disk")


def test_a_disk_that_fills_is_a_warning(
    writer: tango.DeviceProxy, shell: BlissShell, session_log: Path
) -> None:
    before = len(session_log.read_text())
    with changed_properties(writer, disk_warning="1e9"):
        shell.enter("import logging; heard = logging.StreamHandler()")
        shell.enter("logging.getLogger().addHandler(heard)")
        scan = shell.enter("loopscan(4, 1, diode)")
        shell.enter("logging.getLogger().removeHandler(heard)")
        _check_saved(writer, scan)

    assert "GB are free where" in session_log.read_text()[before:]


def test_lost_data_are_told_while_the_scan_runs(
    writer: tango.DeviceProxy, shell: BlissShell
) -> None:
    shell.enter("import gevent")
    shell.enter("scan = loopscan(400, 0.02, diode, run=False)")
    shell.enter("running = gevent.spawn(scan.run)")
    wait_until(lambda: writer.State() == tango.DevState.RUNNING, "saving")
    name = list(writer.scan_names)[-1]
    file = Path(shell.enter("SCAN_SAVING.filename"))

    def given_up() -> bool:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any(Path(opened.path) == file for opened in process.open_files()):
                    process.kill()
        return bool(writer.scan_state(name) == tango.DevState.FAULT)

    wait_until(given_up, "given up after its workers were killed again and again")
    text = _refusal(shell, "running.get()")

    assert text.startswith("RuntimeError: Nexus writer is in FAULT state (")
    assert "worker processes died" in text
    assert "\n" not in text
    assert writer.State() == tango.DevState.ON
    writer.Reset()


@pytest.mark.usefixtures("beamline")
def test_a_server_that_is_down_is_told(shell: BlissShell) -> None:
    text = _refusal(shell)

    assert text.startswith("RuntimeError: Cannot check Nexus writer state (Nexus writer API_")
