"""Looks at the memory of Redis in a thread of its own: Redis may take its time to answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tango_saver.errors import SaverError
from tango_saver.model.settings import SaverSettings
from tango_saver.source.memory import MemoryProbe, RedisMemory

_LOG = logging.getLogger(__name__)

_FIRST_S = 1.0
"""Before the first look: a saver that begins has more to do."""
_PERIOD_S = 2.0


@dataclass(frozen=True, slots=True)
class MemorySeen:
    """The memory of Redis."""

    memory: RedisMemory


class RedisWatch:
    """Tells the memory of Redis as long as it answers.

    Args:
        settings: where Redis is.
        tell: called from the thread.
    """

    def __init__(self, settings: SaverSettings, tell: Callable[[MemorySeen], None]) -> None:
        self._probe = MemoryProbe(settings.redis_url, settings.redis_timeout_s)
        self._tell = tell
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="redis watch", daemon=True).start()

    def close(self) -> None:
        """Watch no more; returns at once."""
        self._closed.set()

    def _run(self) -> None:
        trouble = ""
        pause = _FIRST_S
        while not self._closed.wait(pause):
            pause = _PERIOD_S
            try:
                self._tell(MemorySeen(self._probe.look()))
                trouble = ""
            except SaverError as error:
                # Who reads scans from this Redis says so aloud.
                if trouble != error.fact:
                    trouble = error.fact
                    _LOG.info("The memory of Redis is not known: %s", error)
        self._probe.close()
