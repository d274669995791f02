from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tango_saver.control.beacon import redis_url_from_beacon
from tango_saver.demo.redis_server import free_port
from tango_saver.errors import ConfigurationError, RedisUnreachableError

Answer = Callable[[bytes], bytes]


def _message(kind: int, content: bytes) -> bytes:
    return struct.pack("<ii", kind, len(content)) + content


@pytest.fixture
def beacon() -> Iterator[Callable[[Answer], str]]:
    """A server of Beacon's wire protocol: takes one request, sends what the test says."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(answer: Answer) -> None:
        connection, _ = listening.accept()
        with connection:
            kind, length = struct.unpack("<ii", connection.recv(8, socket.MSG_WAITALL))
            content = connection.recv(length, socket.MSG_WAITALL)
            assert kind == 32
            with suppress(ConnectionError):  # the client may have heard enough
                for part in answer(content.split(b"|")[0]):
                    connection.sendall(bytes([part]))

    def start(answer: Answer) -> str:
        threads.append(threading.Thread(target=serve, args=(answer,)))
        threads[-1].start()
        return f"127.0.0.1:{listening.getsockname()[1]}"

    with listening:
        yield start
        for thread in threads:
            thread.join(10)


@pytest.mark.parametrize(
    ("place", "url"),
    [
        (b"bliss01|25002", "redis://bliss01:25002"),
        (b"bliss01|25002|more", "redis://bliss01:25002"),
        (b"localhost|/tmp/redis_data.sock", "unix:///tmp/redis_data.sock"),
    ],
)
def test_address_is_asked_from_beacon(
    beacon: Callable[[Answer], str], place: bytes, url: str
) -> None:
    address = beacon(lambda key: _message(34, key + b"|" + place))

    assert redis_url_from_beacon(address, 5) == url


def test_beacon_without_redis_for_scans_is_explained(beacon: Callable[[Answer], str]) -> None:
    address = beacon(lambda key: _message(33, key + b"|no redis_data server"))

    with pytest.raises(ConfigurationError, match="no redis_data server"):
        redis_url_from_beacon(address, 5)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n", _message(34, b""), _message(34, b"x" * 99)[:20]]
)
def test_other_answers_are_an_error_that_names_beacon(
    beacon: Callable[[Answer], str], answer: bytes
) -> None:
    address = beacon(lambda _: answer)

    with pytest.raises((ConfigurationError, RedisUnreachableError), match=address):
        redis_url_from_beacon(address, 5)


def test_nobody_at_the_address_is_an_error_with_advice() -> None:
    address = f"127.0.0.1:{free_port()}"

    with pytest.raises(RedisUnreachableError, match="beacon_host"):
        redis_url_from_beacon(address, 5)
