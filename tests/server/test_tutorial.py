"""The tutorial, typed into a shell as it stands; only the ports are others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tango_saver.demo.redis_server import free_port

pytestmark = [pytest.mark.tango, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "resources" / "docs" / "tutorial.md").read_text()
WAIT_FOR = """
for i in $(seq 300); do {command} >&/dev/null && break; sleep 0.1; done
"""
"""What somebody who reads between two commands needs not type."""


def test_what_the_tutorial_shows_leads_to_a_saved_scan(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)
    install, beamline, register, start, *others = blocks
    assert "pip install" in install
    database, redis = str(free_port()), str(free_port())
    status = others[0].strip()
    script = "\n".join(
        (
            beamline,
            WAIT_FOR.format(command="python -c 'import tango; tango.Database()'"),
            register,
            start,
            WAIT_FOR.format(command=status),
            *others,
        )
    )
    script = script.replace("11000", database).replace("6399", redis)
    (tmp_path / "resources").symlink_to(ROOT / "resources")

    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(tmp_path / "state"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    promised = re.findall(r"^> (.*)$", TUTORIAL, re.MULTILINE)
    assert promised
    assert not [line for line in promised if line not in said], said
    with h5py.File(tmp_path / "data" / "data.h5") as file:
        assert "1.1/end_time" in file, said
    assert "complete" in said
