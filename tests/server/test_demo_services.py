"""Redis and a session as services of their own, as the containers have them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import redis
from waiting import wait_until

from tango_saver.demo.redis_server import free_port

_SERVICES = (sys.executable, "-m", "tango_saver.demo.services")


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping() and client.exists("_PROTOCOL_VERSION_"))
    except redis.RedisError:
        return False


def test_a_session_publishes_into_the_redis_beside_it(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    with subprocess.Popen([*_SERVICES, "redis", "--port", str(port)]) as server:
        wait_until(lambda: _answers(url), 60)

        said = subprocess.run(
            [*_SERVICES, "session", "--redis", url, "--folder", str(tmp_path), "--name", "demo1",
             "--scans", "2", "--pause", "0", "--speed", "0"],
            check=True, capture_output=True, text=True, timeout=60,
        ).stdout  # fmt: skip
        with redis.Redis.from_url(url) as client:
            scans = {
                (identity["session"], identity["number"])
                for key in client.scan_iter("esrf:scan:*", _type="ReJSON-RL")
                for identity in client.json().get(key, "$.id")
            }
        server.send_signal(signal.SIGTERM)

    assert server.returncode == 0
    assert scans == {("demo1", 1), ("demo1", 2)}
    assert f"scan 2 of session demo1 -> {tmp_path}" in said
