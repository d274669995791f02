"""``tango-saver status`` and ``tango-saver watch`` on a real device."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tango
from devices import SESSION, HeldScan, Publish, SaverDevice, StartDevice
from rich.console import Console
from waiting import wait_until

from tango_saver.control.client import read_values
from tango_saver.control.live_view import live_view

pytestmark = pytest.mark.tango

_PROGRAM = str(Path(sys.executable).parent / "tango-saver")


def _status(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_PROGRAM, "status", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_status_is_a_line_for_people_and_json_for_scripts(saver_device: SaverDevice) -> None:
    line = _status(saver_device.name)
    values = _status(saver_device.name, "--json")

    assert (line.returncode, values.returncode) == (0, 0)
    assert line.stdout.startswith(f"ON: Listening to session {SESSION}")
    found = json.loads(values.stdout)
    assert found["device"] == saver_device.name
    assert found["State"] == "ON"
    assert found["Session"] == SESSION
    assert found["RunningScans"] == []
    assert found["ScansSaved"] == 0
    assert found["DiskFree"] is None  # nothing was saved yet
    assert found["SecondsToDataLoss"] is None  # infinite: none can be lost
    attributes = {config.name for config in saver_device.proxy.attribute_list_query()}
    assert set(found) == {"device", *attributes}


def test_status_of_a_running_scan_has_its_progress(
    saver_device: SaverDevice, held_scan: HeldScan
) -> None:
    found = json.loads(_status(saver_device.name, "--json").stdout)

    assert found["State"] == "RUNNING"
    assert len(found["RunningScans"]) == len(found["ScanProgress"]) == 1
    assert held_scan.key


def test_exit_codes_tell_whether_the_saver_works(
    start_device: StartDevice, redis_url: str, publish: Publish, tmp_path: Path
) -> None:
    device = start_device(
        session=SESSION, redis_url=redis_url, allowed_roots=str(tmp_path / "elsewhere")
    )
    device.wait_for_state(tango.DevState.ON)
    assert _status(device.name).returncode == 0

    publish("ascan")
    device.wait_for_state(tango.DevState.ALARM)
    assert _status(device.name).returncode == 4
    device.proxy.Stop()
    device.wait_for_state(tango.DevState.OFF)
    assert _status(device.name).returncode == 6
    device.put(workers="many")
    device.proxy.Init()
    assert _status(device.name).returncode == 5
    device.server.stop()
    gone = _status(device.name)
    assert gone.returncode == 1
    assert len(gone.stderr.strip().splitlines()) == 1


def test_watch_shows_a_scan_and_ends_with_ctrl_c(
    saver_device: SaverDevice, held_scan: HeldScan, tmp_path: Path
) -> None:
    output = tmp_path / "screen"
    with output.open("w") as screen:
        watching = subprocess.Popen(
            # What a script starts in the background is deaf to Ctrl-C, unlike in a terminal.
            ["env", "--default-signal=INT", _PROGRAM, "watch", saver_device.name],
            stdout=screen,
            stderr=subprocess.STDOUT,
            env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "120", "TERM": "xterm"},
        )
        try:
            wait_until(lambda: "RUNNING" in output.read_text())
            held_scan.let_go()
            wait_until(lambda: "data.h5" in output.read_text())
        finally:
            watching.send_signal(signal.SIGINT)

    assert watching.wait(20) == 0
    text = output.read_text()
    assert "_ascan" in text
    assert "Traceback" not in text


def test_numbers_fit_on_a_line_of_a_usual_terminal(saver_device: SaverDevice) -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(live_view(saver_device.name, read_values(saver_device.name)))

    (numbers,) = [line for line in console.export_text().splitlines() if "saved" in line]
    assert "MB/s" in numbers
    assert "GB" in numbers


def test_watch_of_nothing_is_told_in_one_line(saver_device: SaverDevice) -> None:
    done = subprocess.run(
        [_PROGRAM, "watch", f"{saver_device.name}/no"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
