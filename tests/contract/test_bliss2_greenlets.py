"""Readers in greenlets, patched as in a worker process: one that waits keeps no other waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import redis
from reading import SCALAR, HandMadeScan

_FOLLOW = """
from gevent import monkey
monkey.patch_socket(); monkey.patch_select(); monkey.patch_time()
import sys
import gevent
from reading import read_all
url, *keys = sys.argv[1:]
readers = [gevent.spawn(read_all, url, key) for key in keys]
gevent.sleep(0.2)
print("waiting", flush=True)
gevent.joinall(readers, timeout=60, raise_error=True)
print([reader.get().points("a") for reader in readers] == [list(range(5))] * len(keys), flush=True)
"""


def test_a_hundred_waiting_readers_share_one_process(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        scans = [HandMadeScan(client, {"a": SCALAR}) for _ in range(100)]
        for scan in scans:
            scan.announce(0)
        follower = subprocess.Popen(
            [sys.executable, "-c", _FOLLOW, redis_url, *(scan.key for scan in scans)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )
        assert follower.stdout is not None
        assert follower.stdout.readline() == "waiting\n"
        # The last one first: were they read one after the other, none would ever end.
        for scan in reversed(scans):
            scan.announce(1, 2)
            for n in range(5):
                scan.send("a", n, [n])
            scan.seal()
            scan.announce(3, 4)
        output, _ = follower.communicate(timeout=90)
    assert output == "True\n"
    assert follower.returncode == 0
