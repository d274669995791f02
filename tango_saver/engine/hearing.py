"""Whether scans are heard of: which listener counts, and since when Redis says nothing."""

from __future__ import annotations

import logging
import time

from tango_saver.engine.alarms import Alarms
from tango_saver.engine.listener import Deaf, Heard, Listener, Silent
from tango_saver.engine.wording import listening_trouble
from tango_saver.errors import ProtocolVersionError
from tango_saver.model.settings import SaverSettings

_LOG = logging.getLogger(__name__)


class Hearing:
    """Follows the listener that Start made, and those that Stop lets run out.

    Args:
        settings: for the words.
        alarms: why somebody should look.
    """

    def __init__(self, settings: SaverSettings, alarms: Alarms) -> None:
        self._settings = settings
        self._alarms = alarms
        self._listener: Listener | None = None
        self._draining: set[Listener] = set()
        self._deaf_since = ""
        self.fault = ""
        """Why nothing can be heard of until somebody acts, a sentence; empty if all is well."""

    @property
    def listening(self) -> bool:
        """Start was given, and Stop was not since."""
        return self._listener is not None

    @property
    def draining(self) -> bool:
        """What was created before Stop is still looked for."""
        return bool(self._draining)

    @property
    def silent(self) -> bool:
        """Nothing is heard of, and nothing is looked for any more."""
        return not (self.listening or self.draining)

    def begins(self, listener: Listener) -> None:
        """Start was given."""
        self.ends()
        self._listener = listener

    def ends(self) -> None:
        """No scan is taken any more; the listener looks for what was created before."""
        if self._listener is not None:
            self._draining.add(self._listener)
            self._listener = None
        self._is_not_deaf()

    def close(self) -> None:
        """Nobody is listened to."""
        self._listener = None
        self._draining.clear()

    def drained(self, event: Silent) -> None:
        """A listener has told everything that was created before Stop."""
        self._draining.discard(event.listener)

    def hears(self, event: Heard) -> None:
        """Redis has answered."""
        if event.listener is self._listener:
            if self._deaf_since:
                _LOG.info("Listening for scans works again")
            self._is_not_deaf()

    def is_deaf(self, event: Deaf) -> None:
        """Redis does not answer, or not in a way that is understood."""
        if event.listener is not self._listener:
            return
        if not self._deaf_since:
            self._deaf_since = time.strftime("%H:%M:%S")
            _LOG.error("%s", event.error)
        sentence = listening_trouble(event.error, self._settings, self._deaf_since)
        foreign = isinstance(event.error, ProtocolVersionError)
        self.fault = sentence if foreign else ""
        self._alarms.set("redis", "" if foreign else sentence)
        self._alarms.last_error = str(event.error)

    def _is_not_deaf(self) -> None:
        self._deaf_since = self.fault = ""
        self._alarms.set("redis", "")
