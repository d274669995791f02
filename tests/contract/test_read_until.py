"""Readers know until when everything that was published was read."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
import redis
from bliss1_payloads import RECORDINGS
from reading import has_points, read_until

from tango_saver.demo.publisher import replay
from tango_saver.demo.publisher_bliss1 import replay_bliss1
from tango_saver.demo.redis_server import RedisServer
from tango_saver.model.scan import ScanKey
from tango_saver.source.base import ScanReader
from tango_saver.source.bliss1 import Bliss1Reader
from tango_saver.source.bliss2 import Bliss2Reader
from tango_saver.source.memory import MemoryProbe


@pytest.fixture
def bliss2_reader(recordings: Path, redis_url: str, tmp_path: Path) -> ScanReader:
    (key,) = replay(recordings / "killed.json.gz", redis_url, tmp_path, speed=0)
    return Bliss2Reader(redis_url, ScanKey(key))


@pytest.fixture
def bliss1_reader(redis_server: RedisServer, tmp_path: Path) -> ScanReader:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    recording = RECORDINGS / "ascan.jsonl.gz"
    (key,) = replay_bliss1(recording, redis_server.url, tmp_path, speed=0)
    return Bliss1Reader(redis_server.url, ScanKey(key))


@pytest.mark.parametrize("generation", ["bliss1_reader", "bliss2_reader"])
def test_it_is_known_only_once_every_channel_was_read_to_its_end(
    generation: str, request: pytest.FixtureRequest
) -> None:
    reader: ScanReader = request.getfixturevalue(generation)
    published_at = time.monotonic()
    assert reader.read_until == 0
    n_points = 0
    while reader.read_until < published_at:
        records = reader.read(0.5)
        n_points += sum(len(getattr(record, "points", ())) for record in records)
    assert n_points
    assert reader.read_until <= time.monotonic()
    assert not any(hasattr(record, "points") for record in reader.read(0.1))  # that was all
    assert reader.kept_s == math.inf  # nothing grows
    reader.close()


def test_a_scan_that_is_not_prepared_has_nothing_to_be_read(
    recordings: Path, redis_url: str, tmp_path: Path
) -> None:
    (key,) = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0)
    reader = Bliss2Reader(redis_url, ScanKey(key))
    read_until(reader, has_points("axis:robx", 11))
    reader.close()
    with redis.Redis.from_url(redis_url) as client:
        document = client.execute_command("JSON.GET", key, "$.state_stream.pk")
        state_stream = f"esrf:stream:{document.decode()[2:-2]}"
        client.delete(state_stream)  # nothing says that it was prepared
    asked_at = time.monotonic()
    reader = Bliss2Reader(redis_url, ScanKey(key))
    reader.read(0.1)
    assert asked_at < reader.read_until <= time.monotonic()
    reader.close()


def test_the_memory_of_redis_is_known(redis_url: str) -> None:
    probe = MemoryProbe(redis_url, 5.0)
    with redis.Redis.from_url(redis_url) as client:
        limit = int(client.config_get("maxmemory")["maxmemory"])
        client.config_set("maxmemory", 0)
        try:
            assert probe.look().limit == 0
        finally:
            client.config_set("maxmemory", limit)
    memory = probe.look()
    probe.close()
    assert memory.limit == limit > memory.used > 0
