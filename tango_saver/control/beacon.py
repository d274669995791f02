"""Asks Beacon, the configuration server of BLISS, where the Redis with the scans is.

One request and one answer over TCP. A message is its type and the length of its content,
both little-endian int32, then the content: fields separated by ``|``, the first of which is
a key of the client's choice that the answer repeats.
"""

from __future__ import annotations

import socket
import struct

from tango_saver.errors import ConfigurationError, RedisUnreachableError

_HEADER = struct.Struct("<ii")
_QUERY = 32
_FAILED = 33
_OK = 34
_KEY = b"tango_saver"
_LONGEST_ANSWER = 65536


def redis_url_from_beacon(beacon_host: str, timeout_s: float) -> str:
    """URL of the Redis that BLISS publishes its scans into.

    Args:
        beacon_host: ``host:port`` of Beacon.
        timeout_s: longest wait for the connection and for each part of the answer.

    Raises:
        RedisUnreachableError: Beacon does not answer.
        ConfigurationError: what answers there is no Beacon, or it has no such Redis.
    """
    host, _, port = beacon_host.rpartition(":")
    content = _KEY + b"|"
    try:
        with socket.create_connection((host, int(port)), timeout_s) as connection:
            connection.sendall(_HEADER.pack(_QUERY, len(content)) + content)
            kind, length = _HEADER.unpack(_receive(connection, _HEADER.size))
            if kind not in {_OK, _FAILED} or not 0 <= length <= _LONGEST_ANSWER:
                raise ConfigurationError(
                    f"Property beacon_host: what answers at {beacon_host} is no Beacon",
                    advice="Set it to the value of BEACON_HOST in a BLISS session and run Init",
                )
            fields = _receive(connection, length).decode(errors="replace").split("|")
    except OSError as error:
        raise RedisUnreachableError(
            f"Beacon at {beacon_host} cannot be asked for the address of Redis: {error}",
            advice="Start Beacon, or correct the property beacon_host and run Init",
        ) from error
    if kind == _FAILED or len(fields) < 3:  # noqa: PLR2004 - key, host, port
        raise ConfigurationError(
            f"Beacon at {beacon_host} knows no Redis for scans: {' '.join(fields[1:])}",
            advice="Start Beacon with --redis-data-port, or set redis_url instead of beacon_host",
        )
    _, redis_host, redis_port = fields[:3]
    if redis_port.isdigit():
        return f"redis://{redis_host}:{redis_port}"
    return f"unix://{redis_port}"


def _receive(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise ConnectionError("the connection was closed in mid-answer")
        received += part
    return received
