"""The object ``saver`` in the shell of real BLISS 2.2.1, from the YAML in ``resources/bliss``."""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import pytest
import tango
from bliss.beamline import BlissError, BlissShell, wait_until

# The first run installs BLISS.
pytestmark = [pytest.mark.bliss, pytest.mark.tango, pytest.mark.timeout(900)]


@pytest.fixture
def shell(saver: tango.DeviceProxy, session: BlissShell) -> Iterator[BlissShell]:
    """A session in which ``keeper`` is the configured object; ``saver`` is its setup's proxy."""
    assert saver.State() == tango.DevState.ON
    session.enter("from bliss.config.static import get_config")
    session.enter("keeper = get_config().get('saver')")
    return session


def test_waiting_returns_the_file_in_which_the_scan_is_whole(shell: BlissShell) -> None:
    scan = shell.enter("loopscan(20, 0.01, diode)")

    file = shell.enter("keeper.wait(30)")

    assert file == shell.enter("keeper.last_file") == str(scan.file)
    with h5py.File(file) as root:  # locked by nobody any more
        assert root[f"{scan.entry}/end_time"].asstr()[()]
        assert len(root[f"{scan.entry}/measurement/diode"]) == 20


def test_user_stops_and_starts_it(shell: BlissShell) -> None:
    shell.enter("keeper.stop()")
    wait_until(lambda: shell.enter("keeper.state") == "OFF", "stopped")
    assert "Start to listen" in shell.enter("keeper.__info__()")

    shell.enter("keeper.start()")

    wait_until(lambda: shell.enter("keeper.state") == "ON", "listening")


def test_waiting_lets_other_greenlets_go_on_and_ends_in_time(shell: BlissShell) -> None:
    shell.enter("import gevent")
    shell.enter("scan = loopscan(1000, 0.05, diode, run=False)")
    shell.enter("running = gevent.spawn(scan.run)")
    wait_until(lambda: shell.enter("keeper.state") == "RUNNING", "saving")

    with pytest.raises(BlissError, match="_loopscan not saved within 1 s"):
        shell.enter("keeper.wait(1)")

    assert shell.enter("len(scan.streams['timer:epoch'])") > 3
    assert "_loopscan" in shell.enter("keeper.__info__()")
    shell.enter("running.kill(KeyboardInterrupt)")
    shell.enter("keeper.wait(30)")
    assert "saving" not in shell.enter("keeper.__info__()")


def test_info_says_in_words_what_the_saver_is_doing(shell: BlissShell) -> None:
    shell.enter("loopscan(3, 0.01, diode)")
    file = shell.enter("keeper.wait(30)")

    shown = shell.enter("keeper.__info__()").splitlines()

    assert shown[0] == "Saver of session demo (demo/tango_saver/demo): ON"
    assert f"  last file  {file}" in shown
    assert "  scans      1 saved, 0 failed, 0 points lost" in shown


def test_attributes_are_counters(shell: BlissShell) -> None:
    shell.enter("loopscan(3, 0.01, diode)")
    shell.enter("keeper.wait(30)")
    shell.enter("points = get_config().get('saver_points')")

    scan = shell.enter("loopscan(4, 0.01, points)")

    (values,) = (c.values for name, c in scan.channels.items() if name.endswith("saver_points"))
    assert values[0] == 9  # elapsed time, epoch and diode, three points each
    assert all(values[1:] >= values[0])
    (lag,) = [shell.enter("get_config().get('saver_lag').unit")]
    assert lag == "s"


def test_saver_that_is_not_there_costs_no_session_and_is_told(shell: BlissShell) -> None:
    shell.enter("from tango_saver.bliss_shell import SessionSaver")
    shell.enter("lost = SessionSaver({'name': 'lost', 'device': 'demo/tango_saver/nobody'})")

    told = shell.enter("lost.__info__()")

    assert told.startswith("lost (demo/tango_saver/nobody): ")
    with pytest.raises(BlissError, match="demo/tango_saver/nobody"):
        shell.enter("lost.start()")
