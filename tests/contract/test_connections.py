"""What a connection to Redis takes, and gives back."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import redis
from reading import SCALAR, HandMadeScan, has_points, read_until

from tango_saver.errors import ReplyTooLargeError
from tango_saver.model.scan import ScanKey
from tango_saver.source import replies
from tango_saver.source.bliss2 import Bliss2Reader
from tango_saver.source.wire import connect

N_CONNECTIONS = 50
QUIET = 32_000
"""Bytes that a connection may take that has no large replies."""


def test_quiet_connections_take_little_memory_and_busy_ones_give_it_back(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as publisher:
        publisher.set("large", b"a" * 2**22)
    clients = [connect(redis_url, 5.0) for _ in range(N_CONNECTIONS)]
    tracemalloc.start()
    try:
        for client in clients:
            client.ping()
        quiet, _ = tracemalloc.get_traced_memory()
        for client in clients:
            assert len(client.get("large")) == 2**22
        for client in clients:
            client.connection_pool.disconnect()
        disconnected, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        for client in clients:
            client.close()
    assert quiet < N_CONNECTIONS * QUIET
    assert disconnected < N_CONNECTIONS * QUIET


def test_what_is_too_large_for_one_reply_is_read_in_smaller_ones(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "_LARGEST_REPLY", 2**25)
    n_small, n_large, size = 300, 30, 125_000
    with redis.Redis.from_url(redis_url) as publisher:
        scan = HandMadeScan(publisher, {"a": SCALAR, "b": SCALAR})
        scan.announce(0, 1, 2)
        for channel in scan.streams:
            for index in range(n_small):
                scan.send(channel, index, [index])
        reader = Bliss2Reader(redis_url, ScanKey(scan.key))
        records = read_until(reader, has_points("b", n_small))
        for channel in scan.streams:
            for index in range(n_large):
                scan.send(channel, n_small + index * size, np.arange(size) + index)
        with pytest.raises(ReplyTooLargeError, match="more than"):
            reader.read(1.0)
        total = n_small + n_large * size
        records += read_until(reader, has_points("a", n_large * size))
        while not all(reader.positions()[name] == total for name in scan.streams):
            records += reader.read(1.0)
        reader.close()
