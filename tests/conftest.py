"""The real servers, each started once per test run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from disks import mounted
from hypothesis import HealthCheck, settings
from saving import RunningSaver, StartSaver

from tango_saver.demo.redis_server import RedisServer, prepare_database
from tango_saver.model.settings import SaverSettings

# How fast examples are made says something about the machine, not about the product.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The Redis of a beamline, shared by the whole test run."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of an empty database, prepared as Beacon prepares it."""
    try:
        with redis.Redis.from_url(redis_server.url, socket_timeout=5) as client:
            client.flushall()
    except redis.TimeoutError:
        # Once in a few thousand times the server hangs, and would fail all tests that follow.
        redis_server.stop()
        redis_server.start()
        return redis_server.url
    prepare_database(redis_server.url)
    return redis_server.url


@pytest.fixture
def recordings() -> Path:
    """Folder of the recorded BLISS scans."""
    return Path(__file__).parent.parent / "resources" / "recordings" / "bliss2"


@pytest.fixture
def start_saver(redis_url: str, tmp_path: Path) -> Iterator[StartSaver]:
    """Starts savers of every session of the test's Redis; settings as keywords."""
    savers: list[RunningSaver] = []

    def start(*, listens: bool = True, **settings: object) -> RunningSaver:
        chosen = {
            "session": "*",
            "redis_url": redis_url,
            "state_directory": str(tmp_path / "state"),
            "disk_warning_gb": 0.0,
            **settings,
        }
        saver = RunningSaver(SaverSettings(**chosen), listens=listens)  # type: ignore[arg-type]
        savers.append(saver)
        return saver

    yield start
    for saver in savers:
        saver.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB."""
    try:
        with mounted(tmp_path / "disk", "32m") as place:
            yield place
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no small file system can be mounted here: {error.stderr.strip()}")
