"""The real servers, each started once per test run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tango_saver.demo.redis_server import RedisServer, prepare_database


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The Redis of a beamline, shared by the whole test run."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of an empty database, prepared as Beacon prepares it."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    prepare_database(redis_server.url)
    return redis_server.url


@pytest.fixture
def recordings() -> Path:
    """Folder of the recorded BLISS scans."""
    return Path(__file__).parent.parent / "resources" / "recordings" / "bliss2"
