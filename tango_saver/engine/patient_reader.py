"""Reads one scan through everything that Redis and the session may do in the meantime."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

import gevent

from tango_saver.errors import RedisUnreachableError
from tango_saver.model.records import Record
from tango_saver.model.scan import ScanDescription, ScanKey
from tango_saver.model.settings import SaverSettings
from tango_saver.source.base import ScanReader
from tango_saver.source.factory import open_reader

_LOG = logging.getLogger(__name__)

_READ_S = 1.0
"""One wait for records, and so how soon an order to end is noticed."""
_SILENCE_S = 600.0
"""Silence that is spoken of, or half the publisher's timeout if that is less."""
_MOST_CONNECTED = 500
"""Scans of one process beyond which those that are quiet share Redis with BLISS: it takes
10,000 connections at most, and each scan that is waited for has one."""
_QUIET_S = 10.0
_GLANCE_S = 0.02
_REST_S = 5.0
"""Between two short looks at a quiet scan that has no connection in between."""
_RETRY_S = (0.2, 2.0)
"""First and longest pause while Redis does not answer."""


class PatientReader:
    """A reader that outlasts an absence of Redis and knows when the publisher is gone.

    Args:
        key: of the scan.
        settings: URL and timeouts.
        positions: channel -> index of the first point wanted.
    """

    _n_open = 0

    def __init__(self, key: str, settings: SaverSettings, positions: Mapping[str, int]) -> None:
        self._key = key
        self._settings = settings
        self._reader: ScanReader = open_reader(
            settings.redis_url, ScanKey(key), positions, settings.redis_timeout_s
        )
        self._closed = False
        PatientReader._n_open += 1
        timeout_s = settings.publisher_timeout_s
        self._wait_s = min(_READ_S, timeout_s) if timeout_s else _READ_S
        self._pause_s = _RETRY_S[0]
        self._away_since = ""
        self._last_sign, self._last_sign_at = time.monotonic(), time.time()
        self.trouble = ""
        """Why nothing can be read at present, a sentence; empty if it can."""

    @property
    def silent_s(self) -> float:
        """Seconds since anything was read."""
        return time.monotonic() - self._last_sign

    @property
    def read_until(self) -> float:
        """Everything that was published before this moment was read; see ``ScanReader``."""
        return self._reader.read_until

    @property
    def kept_s(self) -> float:
        """How long Redis keeps a point by the length of its stream; see ``ScanReader``."""
        return self._reader.kept_s

    @property
    def publisher_is_lost(self) -> bool:
        """Nothing came for longer than the publisher may take, although Redis answers."""
        timeout_s = self._settings.publisher_timeout_s
        return bool(timeout_s) and not self.trouble and self.silent_s > timeout_s

    @property
    def notice(self) -> str:
        """That nothing came for long although Redis answers, a sentence; else empty."""
        timeout_s = self._settings.publisher_timeout_s
        longest_s = min(_SILENCE_S, timeout_s / 2) if timeout_s else _SILENCE_S
        if self.trouble or self.silent_s < longest_s:
            return ""
        since = time.strftime("%H:%M:%S", time.localtime(self._last_sign_at))
        return f"nothing was published since {since}: StopScan ends it if the session is gone"

    def read(self) -> Sequence[Record]:
        """The next records; while Redis does not answer, none, after a pause.

        Raises:
            ScanNotFoundError: the scan vanished from Redis.
            DocumentError: its document cannot be used.
        """
        rests = PatientReader._n_open > _MOST_CONNECTED and self.silent_s > _QUIET_S
        try:
            records = self._reader.read(_GLANCE_S if rests else self._wait_s)
        except RedisUnreachableError as error:
            self._is_away(error)
            return ()
        if self.trouble:
            _LOG.info("scan %s: Redis answers again", self._key)
            self._pause_s, self._away_since, self.trouble = _RETRY_S[0], "", ""
            self._last_sign, self._last_sign_at = time.monotonic(), time.time()
        if records:
            self._last_sign, self._last_sign_at = time.monotonic(), time.time()
        elif rests:
            self._reader.rest()
            gevent.sleep(_REST_S)
        return records

    def describe(self) -> ScanDescription:
        """The newest description, see ``ScanReader.describe``."""
        return self._reader.describe()

    def close(self) -> None:
        """Close the connection; idempotent."""
        if not self._closed:
            self._closed = True
            PatientReader._n_open -= 1
        self._reader.close()

    def _is_away(self, error: RedisUnreachableError) -> None:
        if not self.trouble:
            self._away_since = time.strftime("%H:%M:%S")
            _LOG.warning("scan %s: %s", self._key, error)
        self.trouble = (
            f"Redis does not answer since {self._away_since}: {error.fact}. "
            "The scan goes on being saved when it is back"
        )
        self._reader.rest()
        gevent.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _RETRY_S[1])
