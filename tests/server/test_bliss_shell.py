"""The object of the BLISS shell with a real device, without BLISS."""

from __future__ import annotations

import subprocess
import sys

import pytest
from devices import Publish, SaverDevice, StartDevice
from waiting import wait_until

pytestmark = pytest.mark.tango


def typed(device: SaverDevice, *lines: str) -> str:
    """What a process prints in which a user of BLISS types this; gevent is its own."""
    program = "\n".join(
        (
            "from tango_saver.bliss_shell import SessionSaver",
            f"saver = SessionSaver({{'name': 'saver', 'device': {device.name!r}}})",
            *lines,
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


def test_start_stop_state_file_and_info(saver_device: SaverDevice, publish: Publish) -> None:
    publish("ascan")
    wait_until(lambda: saver_device.proxy.ScansSaved == 1)

    said = typed(
        saver_device,
        "print(saver.wait(10) == saver.last_file, saver.last_file)",
        "print(saver.__info__())",
        "saver.stop()",
        "saver.start()",
        "print(saver.state)",
    ).splitlines()

    assert said[0] == f"True {saver_device.proxy.LastFile}"
    assert said[1].endswith(f"({saver_device.name}): ON")
    assert "  scans      1 saved, 0 failed, 0 points lost" in said
    assert said[-1] == "ON"


def test_start_with_a_wrong_property_says_which(start_device: StartDevice, redis_url: str) -> None:
    device = start_device(session="s", redis_url=redis_url, workers="0")

    said = typed(device, "print(saver.__info__())", "saver.start()")

    assert "FAULT" in said
    assert said.count("workers") >= 2
    assert "Check that the server" not in said


def test_device_that_does_not_run_is_told_with_what_to_look_at(saver_device: SaverDevice) -> None:
    saver_device.server.stop()

    said = typed(saver_device, "print(saver.__info__())")

    assert said.startswith(f"saver ({saver_device.name}): ")
    assert "Check that the server TangoSaver runs" in said


def test_nothing_but_pytango_gevent_and_our_errors_is_imported() -> None:
    program = (
        "import sys, tango, gevent; before = set(sys.modules)\n"
        "import tango_saver.bliss_shell\n"
        "print(sorted(set(sys.modules) - before))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == (
        "['tango_saver', 'tango_saver.bliss_shell', 'tango_saver.errors']"
    )
