"""The source and the readers that the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping

from tango_saver.errors import ConfigurationError
from tango_saver.model.scan import ScanKey
from tango_saver.model.settings import SaverSettings
from tango_saver.source.base import ScanReader, ScanSource
from tango_saver.source.bliss1 import Bliss1Reader, Bliss1Source
from tango_saver.source.bliss2 import Bliss2Reader, Bliss2Source
from tango_saver.source.generation import AUTO, FoundOutSource, is_bliss1_key


def open_source(settings: SaverSettings) -> ScanSource:
    """The source for ``settings.redis_url``; connects with its first call.

    Raises:
        ConfigurationError: the URL cannot be understood, or ``settings.bliss`` is no generation.
    """
    url, timeout_s = settings.redis_url, settings.redis_timeout_s
    match settings.bliss:
        case "2":
            return Bliss2Source(url, timeout_s)
        case "1":
            return Bliss1Source(url, timeout_s, settings.session or "*")
        case _ if settings.bliss == AUTO:
            return FoundOutSource(url, timeout_s, settings.session or "*")
    raise ConfigurationError(
        f"no generation of BLISS is called {settings.bliss!r}", advice="Use 1, 2 or auto"
    )


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
    reader = Bliss1Reader if is_bliss1_key(key) else Bliss2Reader
    return reader(redis_url, key, positions=positions, timeout_s=timeout_s)
