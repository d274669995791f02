"""``tango-saver register`` with the Tango database of a real Beacon, which knows its files only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tango
import yaml
from bliss.beamline import Beamline

# The first run installs BLISS.
pytestmark = [pytest.mark.bliss, pytest.mark.tango, pytest.mark.timeout(900)]


def _register(beamline: Beamline, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "tango-saver"), "register", *arguments],
        env={**os.environ, "TANGO_HOST": beamline.beacon.host},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_file_is_printed_and_nothing_registered(beamline: Beamline) -> None:
    done = _register(beamline, "--session", "another")

    assert done.returncode == 0, done.stderr
    assert "nothing was done" in done.stderr
    declared = yaml.safe_load(done.stdout)
    assert {device["class"] for device in declared["device"]} == {
        "TangoSaver", "NexusWriter", "BlissWriter",
    }  # fmt: skip
    host, port = beamline.beacon.host.split(":")
    database = tango.Database(host, int(port))
    assert not list(database.get_device_name("TangoSaver/another", "TangoSaver"))


def test_the_file_is_written_into_the_configuration(beamline: Beamline, tmp_path: Path) -> None:
    done = _register(beamline, "--session", "another", "--beacon-files", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "Restart Beacon" in done.stdout
    assert (tmp_path / "tango" / "TangoSaver_another.yml").exists()


def test_devices_that_the_files_declare_are_left_as_they_are(beamline: Beamline) -> None:
    done = _register(beamline, "--session", "demo", "--domain", "demo")

    assert done.returncode == 0, done.stderr
    assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == [
        "nothing to change"
    ] * 3
