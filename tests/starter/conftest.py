"""The servers below Astor, started once, and a device server for each test."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import tango
from devices import HeldScan, Publish
from waiting import wait_until

from tango_saver.control.register import SERVER_NAME
from tango_saver.demo.publisher import replay

from .beamline import HOST, MariaDb, MariaDbTangoDatabase, Starter, missing_packages

_PATIENCE_S = 60.0
"""Starter looks at its servers about every second, and Tango gives a server 3 s to answer."""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def beamline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all servers keep their files."""
    return tmp_path_factory.mktemp("beamline")


@pytest.fixture(scope="module")
def tango_database(beamline_folder: Path) -> Iterator[MariaDbTangoDatabase]:
    """The Tango database on MariaDB."""
    missing = missing_packages()
    if missing:
        pytest.skip(missing)
    with (
        MariaDb(beamline_folder) as mariadb,
        MariaDbTangoDatabase(mariadb, beamline_folder) as database,
    ):
        yield database


@pytest.fixture(scope="module")
def starter(tango_database: MariaDbTangoDatabase, beamline_folder: Path) -> Iterator[Starter]:
    """The Starter of this host."""
    with Starter(tango_database, beamline_folder) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Row:
    """What Astor shows of one server of a host."""

    state: str
    """ON, MOVING: it runs but does not answer, FAULT: it does not run."""
    controlled: bool
    """Whether Astor starts and stops it with all others of its level."""
    level: int


@dataclass(frozen=True, slots=True)
class AstorsServer:
    """A registered device server, handled over Tango as Astor handles it."""

    database: MariaDbTangoDatabase
    starter: Starter
    session: str

    @property
    def name(self) -> str:
        """Server and instance, as Starter takes them."""
        return f"{SERVER_NAME}/{self.session}"

    @property
    def device(self) -> tango.DeviceProxy:
        """The saver of the session."""
        return tango.DeviceProxy(f"tango://{self.database.host}/id00/tango_saver/{self.session}")

    @property
    def row(self) -> Row | None:
        """What Astor shows of it; None before it ran for the first time."""
        for line in self.starter.proxy.Servers or ():
            name, state, controlled, level = line.split("\t")[:4]
            if name == self.name:
                return Row(state, controlled == "1", int(level))
        return None

    @property
    def pid(self) -> int:
        """Process id that the database knows."""
        return int(self.database.client.get_device_info(f"dserver/{self.name}").pid)

    @property
    def process(self) -> psutil.Process:
        """The running process."""
        return psutil.Process(self.pid)

    @property
    def log(self) -> str:
        """Its log as Astor reads it."""
        return str(self.starter.proxy.DevReadLog(self.name))

    def set_level(self, level: int) -> None:
        """As Astor's dialog does."""
        info = tango.DbServerInfo()
        info.name, info.host, info.mode, info.level = self.name, HOST, 1, level
        self.database.client.put_server_info(info)
        self.starter.proxy.UpdateServersInfo()

    def answers(self) -> bool:
        """Whether its device listens to Redis."""
        try:
            return self.device.state() in (tango.DevState.ON, tango.DevState.RUNNING)
        except tango.DevFailed:
            return False

    def is_running(self) -> bool:
        """Whether it listens, and Starter knows."""
        return self.answers() and self._is_shown("ON", self.starter.proxy.RunningServers)

    def is_stopped(self) -> bool:
        """Whether Starter knows that it does not run."""
        return self._is_shown("FAULT", self.starter.proxy.StoppedServers)

    def _is_shown(self, state: str, names: tuple[str, ...] | None) -> bool:
        row = self.row
        return row is not None and row.state == state and self.name in (names or ())

    def start(self) -> psutil.Process:
        """Start it and wait until it runs."""
        self.starter.proxy.DevStart(self.name)
        return self.wait_until_running()

    def wait_until_running(self) -> psutil.Process:
        """Wait until it listens, and Starter knows."""
        wait_until(self.is_running, _PATIENCE_S)
        return self.process

    def wait_until_stopped(self) -> None:
        """Wait until Starter knows that it does not run."""
        wait_until(self.is_stopped, _PATIENCE_S)

    def remove(self) -> None:
        """End what is left of its processes, and have the database and Starter forget it."""
        try:
            left = [self.process, *self.process.children(recursive=True)]
        except (tango.DevFailed, psutil.NoSuchProcess):
            left = []
        for process in left:
            if process.is_running():
                process.kill()
        psutil.wait_procs(left, 20)
        self.database.client.delete_server(self.name)
        self.database.client.delete_server_info(self.name)
        self.starter.proxy.UpdateServersInfo()


def tango_saver_register(database: MariaDbTangoDatabase, *arguments: str) -> list[str]:
    """Run ``tango-saver register`` as a user does; the lines that it says."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "tango-saver"), "register", *arguments],
        env={**os.environ, "TANGO_HOST": database.host},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def server(
    tango_database: MariaDbTangoDatabase, starter: Starter, redis_url: str, tmp_path: Path
) -> Iterator[AstorsServer]:
    """A server that is registered and never ran."""
    registered = AstorsServer(tango_database, starter, f"session{next(_numbers)}")
    tango_saver_register(
        tango_database, "--session", registered.session, "--redis", redis_url,
        "--property", f"state_directory={tmp_path / 'state'}", "--property", "disk_warning=0",
    )  # fmt: skip
    yield registered
    registered.remove()


@pytest.fixture
def publish(recordings: Path, redis_url: str, tmp_path: Path, server: AstorsServer) -> Publish:
    """Publishes a recording for the session of the server; returns the scans' keys."""

    def run(name: str, **options: object) -> list[str]:
        return replay(
            recordings / f"{name}.json.gz",
            redis_url,
            tmp_path,
            speed=0,
            session=server.session,
            **options,
        )

    return run


@pytest.fixture
def scan_in_mid_run(server: AstorsServer, publish: Publish) -> Iterator[HeldScan]:
    """The server runs and saves a scan that stays open."""
    server.start()
    with ThreadPoolExecutor(1) as background:
        scan = HeldScan(publish, background, "ascan")
        wait_until(lambda: list(server.device.RunningScans or ()), _PATIENCE_S)
        yield scan
        scan.let_go()
