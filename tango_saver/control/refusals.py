"""Errors of the saver as Tango clients see them: a reason from a short list, and one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tango

from tango_saver.errors import (
    ConfigurationError,
    RedisUnreachableError,
    SaverError,
    ScanNotFoundError,
    SinkError,
    SourceError,
    UnknownScanError,
)

_REASONS: tuple[tuple[type[SaverError], str], ...] = (
    (ConfigurationError, "CONFIGURATION_ERROR"),
    (RedisUnreachableError, "COMMUNICATION_BROKEN"),
    (ScanNotFoundError, "UNKNOWN_SCAN"),
    (UnknownScanError, "UNKNOWN_SCAN"),
    (SourceError, "SCAN_UNUSABLE"),
    (SinkError, "FILE_UNUSABLE"),
)
_ANY_OTHER = "OPERATION_FAILED"


def reason_of(error: SaverError) -> str:
    """The ``reason`` of the DevFailed that a client gets for an error."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), _ANY_OTHER)


@contextmanager
def refusals(command: str) -> Iterator[None]:
    """Turn an error of the saver into the DevFailed of a command.

    Raises:
        tango.DevFailed: for every ``SaverError`` in the block.
    """
    try:
        yield
    except SaverError as error:
        description = " ".join(str(error).split())
        tango.Except.throw_exception(reason_of(error), description, f"TangoSaver.{command}")
