"""A beamline of real BLISS 1: Beacon with the two Redis servers that it starts itself."""

from __future__ import annotations

import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import redis

from tango_saver.demo.processes import ServerProcess
from tango_saver.demo.redis_server import free_port, server_program

LAB = Path(__file__).parent / "lab"
SCANS = Path(__file__).parents[2] / "resources" / "examples" / "complex_scans.py"
SESSION = "demo"
_SCANS_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class RunScan:
    """What BLISS says of a scan that it has run."""

    file: Path
    """That its own writer has made."""
    state: str


class Beamline(ServerProcess):
    """Beacon of BLISS 1.

    Args:
        python: interpreter of the environment of BLISS.
        folder: for the configuration, the sockets and the log.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        self._python = python
        programs = folder / "bin"
        programs.mkdir()
        # Beacon starts its servers by this name.
        (programs / "redis-server").write_text(f'#!/bin/sh\nexec {server_program()} "$@"\n')
        (programs / "redis-server").chmod(0o755)
        shutil.copytree(LAB / "beacon", folder / "beacon")
        self._port, settings, data, tango = (free_port() for _ in range(4))
        self.redis_url = f"redis://127.0.0.1:{data}/1"
        environment = {
            "PATH": f"{programs}:{python.parent}:/usr/bin:/bin",
            "BEACON_HOST": f"localhost:{self._port}",
            "TANGO_HOST": f"localhost:{tango}",
            "TZ": "UTC",  # the writer of BLISS 1 is wrong about all other zones
            "PYTHONWARNINGS": "ignore",
        }
        self._environment_of_scans = environment
        command = [
            str(python.parent / "beacon-server"), f"--db-path={folder / 'beacon'}",
            "--port", str(self._port), "--tango-port", str(tango),
            "--redis-port", str(settings), "--redis-socket", str(folder / "settings.sock"),
            "--redis-data-port", str(data), "--redis-data-socket", str(folder / "data.sock"),
            "--homepage-port", "0", "--log-server-port", "0", "--log-viewer-port", "0",
        ]  # fmt: skip
        super().__init__(command, folder / "beacon.log", environment)

    def ready(self) -> bool:
        """Whether Beacon and its Redis of data answer."""
        try:
            with socket.create_connection(("localhost", self._port), 1.0):
                pass
            with redis.Redis.from_url(self.redis_url) as client:
                return bool(client.ping())
        except (OSError, redis.RedisError):
            return False

    def run(self, scan: str, folder: Path) -> RunScan:
        """Run one of the example's scans in library mode.

        Args:
            scan: its name in ``complex_scans.ALL``.
            folder: below which BLISS itself saves it.
        """
        done = subprocess.run(
            [self._python, "-W", "ignore", SCANS, SESSION, folder, scan],
            env=self._environment_of_scans, capture_output=True, text=True, check=False,
            timeout=_SCANS_TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        name, file, state = done.stdout.splitlines()[-1].split()
        assert name == scan
        return RunScan(Path(file), state)
