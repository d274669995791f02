"""The unit that runs the server: what systemd itself says of it, and what it must not forget."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tango_saver.control.device import TangoSaver
from tango_saver.control.register import SERVER_NAME

_UNIT = Path(__file__).parents[2] / "resources" / "systemd" / "tango-saver@.service"


def _service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(_UNIT)
    return parser["Service"]


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    # the program need not be installed where the unit says
    text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", _UNIT.read_text())
    copy = tmp_path / "tango-saver@lab.service"
    copy.write_text(re.sub(r"(?m)^User=.*", "User=root", text))

    done = subprocess.run(
        [program, "verify", str(copy)], capture_output=True, text=True, check=False
    )

    said = [line for line in done.stderr.splitlines() if copy.name in line]
    assert (done.returncode, said) == (0, [])


def test_the_server_is_started_again_whatever_its_exit_code_was() -> None:
    assert _service()["Restart"] == "always"


def test_running_scans_get_their_time_before_systemd_kills_the_server() -> None:
    service = _service()

    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > TangoSaver.finish_timeout.default_value + 10


def test_the_program_is_the_server() -> None:
    assert _service()["ExecStart"].split()[0].endswith(f"/{SERVER_NAME}")
