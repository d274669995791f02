"""The source and the readers that the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping

from tango_saver.model.scan import ScanKey
from tango_saver.model.settings import SaverSettings
from tango_saver.source.base import ScanReader, ScanSource
from tango_saver.source.bliss2 import Bliss2Reader, Bliss2Source


def open_source(settings: SaverSettings) -> ScanSource:
    """The source for ``settings.redis_url``; connects with its first call.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """
    return Bliss2Source(settings.redis_url, settings.redis_timeout_s)


def open_reader(
    redis_url: str, key: ScanKey, positions: Mapping[str, int], timeout_s: float
) -> ScanReader:
    """A reader of one scan; connects with its first call.

    Args:
        redis_url: of the Redis that the scan is in.
        key: the scan.
        positions: channel -> index of the first point wanted; 0 where absent.
        timeout_s: longest wait for one answer of Redis.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """
    return Bliss2Reader(redis_url, key, positions=positions, timeout_s=timeout_s)
