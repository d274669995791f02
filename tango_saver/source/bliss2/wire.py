"""What BLISS >= 2 has in Redis beside its streams: protocol version, documents and states."""

from __future__ import annotations

from collections.abc import Sequence

import redis

from tango_saver.errors import DocumentError, ProtocolVersionError, ScanNotFoundError
from tango_saver.model.scan import ScanKey, ScanState
from tango_saver.source.wire import RawEntry, is_deleted, is_ttl, nonsense, redis_errors

PROTOCOL_KEY = "_PROTOCOL_VERSION_"
PROTOCOL_VERSION = b"1"
HISTORY_KEY = "_SCAN_HISTORY_"

_STATES = {str(int(state)).encode(): state for state in ScanState}


def check_protocol(client: redis.Redis) -> None:
    """Make sure that the database is BLISS's and speaks protocol version 1.

    Raises:
        ProtocolVersionError: it is not, or does not.
        RedisUnreachableError: Redis does not answer.
    """
    with redis_errors():
        kind = client.execute_command("TYPE", PROTOCOL_KEY)
        version = client.execute_command("GET", PROTOCOL_KEY) if kind == b"string" else None
    if version is None:
        raise ProtocolVersionError(
            f"the database has no {PROTOCOL_KEY}, BLISS did not prepare it",
            advice="Restart Beacon, which prepares an empty database, or check the Redis URL",
        )
    if version != PROTOCOL_VERSION:
        found = version[:20].decode(errors="replace")
        raise ProtocolVersionError(
            f"the database has protocol version {found}, this saver reads version 1",
            advice="Update tango_saver, or use the Redis of BLISS >= 2",
        )


def get_document(client: redis.Redis, key: ScanKey) -> bytes:
    """The scan document as JSON text.

    Raises:
        ScanNotFoundError: not there, or about to expire.
        DocumentError: the key holds no JSON document.
        RedisUnreachableError: Redis does not answer.
        SourceError: Redis refused, most likely because it has no RedisJSON.
    """
    with redis_errors(key):
        pipeline = client.pipeline(transaction=False)
        pipeline.execute_command("TTL", key)
        pipeline.execute_command("JSON.GET", key)
        ttl, raw = pipeline.execute(raise_on_error=False)
        if isinstance(raw, redis.ResponseError) and "wrong" in str(raw).lower():
            raise DocumentError("the key holds no JSON document: $", scan=key) from raw
        for reply in (ttl, raw):
            if isinstance(reply, Exception):
                raise reply
    if not is_ttl(ttl) or not isinstance(raw, bytes | None):
        raise nonsense(key, client)
    if is_deleted(ttl) or raw is None:
        raise ScanNotFoundError(
            "the scan is not in Redis any more",
            scan=key,
            advice="It was deleted, or Redis was restarted without its data",
        )
    return bytes(raw)


def states(entries: Sequence[RawEntry]) -> list[ScanState]:
    """The states in entries of a state stream; what is none is left out."""
    found = []
    for _, fields in entries:
        value = dict(zip(fields[::2], fields[1::2], strict=False)).get(b"state", b"")
        if value in _STATES:
            found.append(_STATES[value])
    return found
