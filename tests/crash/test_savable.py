"""``tango-saver save`` without a key lists what can still be saved, of BLISS 1 too."""

from __future__ import annotations

from pathlib import Path

import redis
from bliss1_payloads import RECORDINGS
from typer.testing import CliRunner

from tango_saver.cli import app
from tango_saver.demo.publisher_bliss1 import replay_bliss1
from tango_saver.demo.redis_server import RedisServer


def save(*arguments: str) -> str:
    """Output of the command line."""
    ended = CliRunner().invoke(app, ["save", *arguments])
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_scans_of_bliss_1_are_listed_and_can_be_saved(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    url = redis_server.url
    with redis.Redis.from_url(url) as client:
        client.flushall()
    keys = [
        key
        for name in ("ascan", "multitop")
        for key in replay_bliss1(RECORDINGS / f"{name}.jsonl.gz", url, tmp_path, speed=0)
    ]
    lines = save("--redis", url).splitlines()
    assert [line.split("  ")[:3] for line in lines] == [
        [key, "test_session", key.rpartition(":")[2]] for key in keys
    ]
    assert all(str(tmp_path) in line for line in lines)
    assert save("--redis", url, "--session", "other") == ""
    output = save(keys[0], "--to", str(tmp_path / "x.h5"), "--redis", url)
    assert "SAVED: 66 points" in output
    assert "complete" in output
