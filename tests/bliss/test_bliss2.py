"""Real BLISS 2.2.1, ``SCAN_SAVING.writer = 'external'``: files equal what BLISS returns."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import redis
import tango
from bliss.beamline import Beamline, BlissShell, ReturnedScan, wait_until

from tango_saver.control.beacon import redis_url_from_beacon

# The first run installs BLISS.
pytestmark = [pytest.mark.bliss, pytest.mark.tango, pytest.mark.timeout(900)]

_SCANS = {
    "ascan": "ascan(robx, 0, 1, 10, 0.02, diode, diode2)",
    "loopscan": "loopscan(5, 0.05, diode)",
    "mca": "loopscan(4, 0.05, mca, diode)",
    "samples": "loopscan(6, 0.05, diode3)",
    "a2scan": "a2scan(robx, 0, 1, roby, 5, 6, 4, 0.01, diode)",
    "amesh": "amesh(robx, 0, 1, 3, roby, 0, 2, 2, 0.01, diode)",
    "count": "sct(0.05, diode)",
}


def _is_finished(scan: ReturnedScan) -> bool:
    """A reader knows a finished entry by its end_time."""
    try:
        with h5py.File(scan.file, locking=False) as file:
            if f"{scan.entry}/end_time" not in file:
                return False
            file[scan.entry].visititems(lambda _name, _item: None)  # each can be opened
            return True
    except (OSError, RuntimeError, KeyError):  # it is not there yet, or is being made or flushed
        return False


def _entries(file: Path) -> set[str]:
    with h5py.File(file, locking=False) as root:
        return set(root)


def _as_in_a_file(values: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """Points of different lengths are padded with NaN to the longest."""
    if isinstance(values, np.ndarray):
        return values
    rows = np.full((len(values), max(map(len, values))), np.nan, values[0].dtype)
    for row, value in zip(rows, values, strict=True):
        row[: len(value)] = value
    return rows


def _check_channels(entry: h5py.Group, scan: ReturnedScan) -> None:
    """Every value, dtype and unit that BLISS returned is where BLISS looks for it."""
    for name, channel in scan.channels.items():
        dataset = entry.file[channel.data_path]
        returned = _as_in_a_file(channel.values)
        assert len(channel.values) == channel.published, name
        assert dataset.dtype == returned.dtype, name
        assert dataset.shape == returned.shape, name
        np.testing.assert_array_equal(dataset[()], returned, err_msg=name)
        if channel.unit is not None:
            assert dataset.attrs["units"] == channel.unit, name
    measured = {entry["measurement"][name].name for name in entry["measurement"]}
    assert len(measured) == len(scan.channels)


def _check_positioners(entry: h5py.Group, scan: ReturnedScan) -> None:
    positioners = scan.info["positioners"]
    units = positioners["positioners_units"]
    for group in ("start", "end", "dial_start", "dial_end"):
        saved = entry[f"instrument/positioners_{group}"]
        assert {name: saved[name][()] for name in saved} == positioners[f"positioners_{group}"]
        assert {name: saved[name].attrs["units"] for name in saved} == units


def _check_entry(entry: h5py.Group, scan: ReturnedScan) -> None:
    """The entry says what was measured, when, and that it is complete."""
    assert entry["title"].asstr()[()] == scan.info["title"]
    assert entry["start_time"].asstr()[()] == scan.info["start_time"]
    assert entry["end_reason"].asstr()[()] == scan.info["end_reason"]
    assert entry["writer/status"].asstr()[()] == "SUCCEEDED"
    started = datetime.fromisoformat(scan.info["start_time"])
    assert datetime.fromisoformat(entry["end_time"].asstr()[()]) > started


def _check_saved(scan: ReturnedScan) -> None:
    wait_until(lambda: _is_finished(scan), f"entry {scan.entry} of {scan.file}")
    with h5py.File(scan.file, locking=False) as file:
        entry = file[scan.entry]
        _check_entry(entry, scan)
        _check_channels(entry, scan)
        _check_positioners(entry, scan)


@pytest.mark.parametrize("typed", _SCANS.values(), ids=_SCANS)
def test_a_scan_is_saved_as_bliss_returns_it(
    saver: tango.DeviceProxy, session: BlissShell, typed: str
) -> None:
    scan = session.enter(typed)

    assert scan.info["data_writer"] == "external"
    assert scan.info["end_reason"] == "SUCCESS"
    _check_saved(scan)
    wait_until(lambda: saver.State() == tango.DevState.ON, "listening again")
    assert saver.LastFile == str(scan.file)
    assert saver.LastError == ""


def test_positions_in_the_file_are_those_that_the_user_sees(
    saver: tango.DeviceProxy, session: BlissShell
) -> None:
    assert saver.State() == tango.DevState.ON
    session.enter("umv(roby, 2.5)")
    scan = session.enter("ascan(robx, 0.5, 0.8, 3, 0.01, diode)")

    wait_until(lambda: _is_finished(scan), f"entry {scan.entry}")
    with h5py.File(scan.file, locking=False) as file:
        instrument = file[scan.entry]["instrument"]
        for motor in ("robx", "roby"):
            position = session.enter(f"{motor}.position")
            assert instrument[f"positioners_end/{motor}"][()] == position
        assert instrument["positioners/roby"][()] == session.enter("roby.position")
        np.testing.assert_allclose(instrument["positioners/robx"][()], [0.5, 0.6, 0.7, 0.8])


def test_a_count_that_is_not_saved_leaves_no_trace(
    saver: tango.DeviceProxy, session: BlissShell
) -> None:
    saved_before = saver.ScansSaved  # another test may have left its last scan to this server
    first = session.enter("loopscan(2, 0.01, diode)")
    _check_saved(first)
    before = _entries(first.file)

    session.enter("ct(0.01, diode)")
    second = session.enter("loopscan(2, 0.01, diode)")

    _check_saved(second)
    assert _entries(second.file) - before == {second.entry}
    assert saver.ScansSaved == saved_before + 2


@pytest.mark.usefixtures("saver")
def test_a_user_controls_the_saver_from_the_session(session: BlissShell) -> None:
    session.enter("saver.Stop()")
    wait_until(lambda: session.enter("saver.state()") == "OFF", "stopped")
    missed = session.enter("loopscan(2, 0.01, diode)")

    session.enter("saver.Start()")
    assert session.enter("saver.state()") == "ON"
    scan = session.enter("loopscan(3, 0.01, diode)")

    _check_saved(scan)
    wait_until(lambda: session.enter("saver.state()") == "ON", "listening again")
    assert session.enter("saver.LastFile") == session.enter("SCAN_SAVING.filename")
    assert missed.entry not in _entries(scan.file)


@pytest.mark.usefixtures("saver")
def test_a_user_saves_a_scan_afterwards(session: BlissShell) -> None:
    session.enter("saver.Stop()")
    wait_until(lambda: session.enter("saver.state()") == "OFF", "stopped")
    scan = session.enter("loopscan(4, 0.01, diode)")

    session.enter(f"saver.SaveScan({scan.key!r})")

    _check_saved(scan)


@pytest.mark.usefixtures("saver")
def test_a_scan_is_shown_while_it_runs_and_saved_up_to_its_abort(session: BlissShell) -> None:
    session.enter("import gevent")
    session.enter("scan = loopscan(1000, 0.05, diode, run=False)")
    session.enter("running = gevent.spawn(scan.run)")
    wait_until(lambda: session.enter("saver.state()") == "RUNNING", "saving")
    wait_until(lambda: session.enter("len(scan.streams['timer:epoch'])") > 3, "some points")
    assert session.enter("saver.CurrentScan").endswith("_loopscan")

    session.enter("running.kill(KeyboardInterrupt)")

    scan = session.enter("scan")
    assert scan.info["end_reason"] == "USER_ABORT"
    _check_saved(scan)


def test_beacon_says_where_redis_is(beamline: Beamline) -> None:
    told = redis.Redis.from_url(redis_url_from_beacon(beamline.beacon.address, timeout_s=5))
    known = redis.Redis.from_url(beamline.redis_url)

    assert told.config_get("port") == known.config_get("port")


def test_bliss_need_not_share_the_tango_database(
    saver_elsewhere: tango.DeviceProxy, session: BlissShell
) -> None:
    session.enter(f"elsewhere = DeviceProxy('tango://{saver_elsewhere.get_db_host()}:"
                 f"{saver_elsewhere.get_db_port()}/{saver_elsewhere.dev_name()}')")  # fmt: skip
    assert session.enter("elsewhere.state()") == "ON"

    scan = session.enter(_SCANS["ascan"])

    _check_saved(scan)
    assert session.enter("elsewhere.LastFile") == str(scan.file)
