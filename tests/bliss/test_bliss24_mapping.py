"""BLISS 2.4.0 with ``SCAN_SAVING.writer = 'mapping'``: our BlissWriter is its writer.

The writer's side of BLISS is the real one; what stands in for the unpublished part of it only
finds the device and makes the map of the file (``lab24/stand_ins.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
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
from bliss.make_environment import LAB24, NoEnvironmentError, default_folder, make

# The first run installs BLISS.
pytestmark = [pytest.mark.bliss, pytest.mark.tango, pytest.mark.timeout(900)]

_WRITER = "demo/bliss_writer/demo"
_SCANS = {
    "ascan": "ascan(robx, 0, 1, 5, 0.05, diode, diode2)",
    "loopscan": "loopscan(3, 0.05, diode)",
    "mca": "loopscan(4, 0.05, mca, diode)",
}
_LOOPSCAN = _SCANS["loopscan"]
_folders = itertools.count(1)


@pytest.fixture(scope="module")
def session24_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session of BLISS 2.4 keeps its log."""
    return tmp_path_factory.mktemp("shell24")


@pytest.fixture(scope="module")
def session24(beamline: Beamline, session24_folder: Path) -> Iterator[BlissShell]:
    """A session of BLISS 2.4 at the Beacon of the beamline."""
    try:
        python = make(default_folder(LAB24), LAB24)
    except NoEnvironmentError as error:
        pytest.skip(str(error))
    environment = {**beamline.beacon.environment, "PATH": f"{python.parent}:/usr/bin:/bin"}
    with BlissShell(python, environment, session24_folder, LAB24) as shell:
        shell.enter("SCAN_SAVING.writer = 'mapping'")
        yield shell
        shell.enter("SCAN_SAVING.writer = 'external'")  # the settings are in Beacon


@pytest.fixture
def writer(saver: tango.DeviceProxy, beamline: Beamline) -> tango.DeviceProxy:
    """The device that BLISS finds, in the server of the saver and with workers ready."""
    device = tango.DeviceProxy(f"tango://{beamline.beacon.host}/{_WRITER}")
    wait_until(lambda: device.State() == tango.DevState.ON and saver.Workers > 0, "listening")
    return device


@pytest.fixture
def shell(session24: BlissShell, beamline: Beamline) -> Iterator[BlissShell]:
    """The session, saving into a new folder."""
    folder = beamline.data_root / f"m{next(_folders)}"
    session24.enter(f"SCAN_SAVING.base_path = {str(folder)!r}")
    yield session24
    session24.enter(f"SCAN_SAVING.base_path = {str(beamline.data_root)!r}")


def _refusal(shell: BlissShell, typed: str = _LOOPSCAN) -> str:
    """What the user reads when the scan fails."""
    with pytest.raises(BlissError) as caught:
        shell.enter(typed)
    return str(caught.value)


def _check_saved(writer: tango.DeviceProxy, scan: ReturnedScan) -> None:
    """The writer says that the scan is saved, and every value of BLISS is in the file."""
    wait_until(lambda: writer.scan_state(scan.key) == tango.DevState.OFF, f"{scan.key} saved")
    with h5py.File(scan.file, locking=False) as file:
        for channel in scan.channels.values():
            np.testing.assert_array_equal(file[channel.data_path][()], channel.values)


@pytest.mark.parametrize("typed", _SCANS.values(), ids=_SCANS)
def test_a_scan_is_saved_by_the_writer_that_bliss_finds(
    writer: tango.DeviceProxy, shell: BlissShell, typed: str
) -> None:
    scan = shell.enter(typed)

    assert scan.info["data_writer"] == "mapping"
    assert scan.info["end_reason"] == "SUCCESS"
    _check_saved(writer, scan)
    assert writer.ScansFailed == 0


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


def test_a_stopped_writer_is_told_with_what_to_do(
    writer: tango.DeviceProxy, shell: BlissShell
) -> None:
    writer.Stop()
    wait_until(lambda: writer.State() == tango.DevState.OFF, "stopped")

    text = _refusal(shell)

    assert text == (
        "RuntimeError: Nexus writer service is in OFF state (Stopped. Start to listen to session"
        " demo.). Call the Nexus writer 'start' method."
    )


def test_a_full_disk_is_told_before_the_scan_starts(
    writer: tango.DeviceProxy, shell: BlissShell
) -> None:
    with changed_properties(writer, disk_minimum="1e9", disk_warning="1e9"):
        text = _refusal(shell)

    assert text.startswith("RuntimeError: Scan writer state is FAULT: only ")
    assert "GB are free" in text


@pytest.mark.usefixtures("writer")
def test_a_file_outside_the_allowed_roots_is_refused_before_the_scan_starts(
    shell: BlissShell, tmp_path: Path
) -> None:
    shell.enter(f"SCAN_SAVING.base_path = {str(tmp_path / 'forbidden')!r}")

    text = _refusal(shell)

    assert text.startswith("RuntimeError: Scan writer state is FAULT: the target ")
    assert "outside the allowed roots" in text
    assert not list(tmp_path.rglob("*.h5"))


def test_a_disk_that_fills_is_a_warning(
    writer: tango.DeviceProxy, shell: BlissShell, session24_folder: Path
) -> None:
    log = session24_folder / "shell.log"
    before = len(log.read_text())
    with changed_properties(writer, disk_warning="1e9"):
        shell.enter("import logging; heard = logging.StreamHandler()")
        shell.enter("logging.getLogger().addHandler(heard)")
        scan = shell.enter("loopscan(4, 1, diode)")
        shell.enter("logging.getLogger().removeHandler(heard)")
        _check_saved(writer, scan)

    assert "GB are free where" in log.read_text()[before:]


@pytest.mark.usefixtures("beamline")
def test_a_server_that_is_down_is_told(shell: BlissShell) -> None:
    text = _refusal(shell)

    assert text.startswith("RuntimeError: Cannot check Nexus writer state (Nexus writer API_")
