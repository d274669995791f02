"""A beamline of real BLISS, started once per test run; the saver anew for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import tango
from bliss.beamline import (
    DEVICE,
    SERVER_INSTANCE,
    SESSION,
    Beacon,
    Beamline,
    BlissError,
    BlissShell,
    wait_until,
)
from bliss.make_environment import NoEnvironmentError, default_folder, make

from tango_saver.control.register import register
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.redis_server import RedisServer

RESOURCES = Path(__file__).parents[2] / "resources"


@pytest.fixture(scope="session")
def bliss_python() -> Path:
    """The interpreter that has BLISS; installed at the first run."""
    try:
        return make(default_folder())
    except NoEnvironmentError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def beamline(bliss_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beamline]:
    """Redis for data, Redis for settings, Beacon with its Tango database."""
    folder = tmp_path_factory.mktemp("beamline")
    data_root, state_directory = folder / "data", folder / "state"
    with (
        RedisServer(folder / "data_redis", max_memory_mb=512) as data,
        RedisServer(folder / "settings_redis", max_memory_mb=512, modules=False) as settings,
    ):
        with redis.Redis.from_url(data.url) as client:
            client.flushall()  # Beacon prepares an empty database in its own way
            client.function_flush()
        names = {
            "REDIS_URL": data.url,
            "DATA_ROOT": str(data_root),
            "STATE_DIRECTORY": str(state_directory),
        }
        shell = (RESOURCES / "bliss" / "saver.yml").read_text()
        (folder / "beacon").mkdir()
        (folder / "beacon" / "saver.yml").write_text(
            shell.replace("id00/tango_saver/my_session", DEVICE)
        )
        with Beacon(bliss_python, folder, data.url, settings.url, names) as beacon:
            yield Beamline(beacon, data.url, data_root)


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session of the user keeps its log."""
    return tmp_path_factory.mktemp("shell")


@pytest.fixture(scope="session")
def session_log(session_folder: Path) -> Path:
    """What the user sees besides the values: warnings, for example."""
    return session_folder / "shell.log"


@pytest.fixture(scope="session")
def session(bliss_python: Path, beamline: Beamline, session_folder: Path) -> Iterator[BlissShell]:
    """The BLISS session of a user, who leaves saving to a program of its own."""
    with BlissShell(bliss_python, beamline.beacon.environment, session_folder) as shell:
        shell.enter("SCAN_SAVING.writer = 'external'")
        shell.enter(f"SCAN_SAVING.base_path = {str(beamline.data_root)!r}")
        yield shell


def _listening(server: SaverServer) -> tango.DeviceProxy:
    device = tango.DeviceProxy(server.device)
    wait_until(lambda: device.State() == tango.DevState.ON, "listening")
    return device


@pytest.fixture
def saver(beamline: Beamline, session: BlissShell, tmp_path: Path) -> Iterator[tango.DeviceProxy]:
    """The device server as Beacon's YAML declares it, started as a process."""
    with SaverServer(beamline.beacon, SERVER_INSTANCE, DEVICE, tmp_path) as server:
        device = _listening(server)
        wait_until(lambda: _is_reached(session), "seen in the session")
        yield device


def _is_reached(session: BlissShell) -> bool:
    """Whether the session's proxy has found the restarted server; it tries once a second."""
    try:
        session.enter("saver.state()")
    except BlissError:
        return False
    return True


@pytest.fixture
def saver_elsewhere(beamline: Beamline, tmp_path: Path) -> Iterator[tango.DeviceProxy]:
    """The device server registered in a Tango database that BLISS knows nothing of.

    It asks Beacon for the URL of Redis.
    """
    with TangoDatabase(tmp_path) as database:
        register(
            tango.Database("127.0.0.1", database.port),
            server_instance=f"TangoSaver/{SERVER_INSTANCE}",
            device=DEVICE,
            properties={
                "session": [SESSION],
                "beacon_host": [beamline.beacon.address],
                "disk_warning": ["0.2"],
                "disk_minimum": ["0.1"],
                "allowed_roots": [str(beamline.data_root)],
                "state_directory": [str(tmp_path / "state")],
            },
        )
        with SaverServer(database, SERVER_INSTANCE, DEVICE, tmp_path) as server:
            yield _listening(server)
