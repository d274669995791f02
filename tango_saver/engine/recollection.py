"""What the next saver has to know, and where this one goes on from."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from tango_saver.engine.dispatcher import order_for
from tango_saver.engine.ledger import Ledger
from tango_saver.engine.memory import Memory, MemoryKeeper
from tango_saver.engine.messages import LinkScan, SaveScan
from tango_saver.model.settings import SaverSettings

_RECALLED = 20
"""Reports that survive a restart."""
_CLOSE_S = 2.0
"""Longest wait for what survives a restart to be written."""


class Recollection:
    """Keeps what survives a restart up to date.

    Args:
        settings: of the saver.
        memory: from the last run.
        keeper: writes it.
    """

    def __init__(self, settings: SaverSettings, memory: Memory, keeper: MemoryKeeper) -> None:
        self._settings = settings
        self._keeper = keeper
        self._last_entry = memory.last_entry
        self._goes_on = memory.listening
        self._stopped_by_user = False

    def listens(self) -> None:
        """Start was given."""
        self._stopped_by_user = False

    def hears(self, entry: str) -> None:
        """Everything up to this place in the history was announced."""
        self._last_entry = entry
        self._goes_on = self._goes_on or not self._stopped_by_user

    def stops(self, *, by_user: bool) -> None:
        """No scan is taken any more; if the server ends, the next one goes on listening."""
        self._stopped_by_user = self._stopped_by_user or by_user

    def is_silent(self) -> None:
        """All that was created before Stop is known: nothing is to be caught up."""
        if self._stopped_by_user:
            self._goes_on = False

    def write(
        self, ledger: Ledger, postponed: Iterable[SaveScan], links: Iterable[LinkScan]
    ) -> None:
        """Have all of it written soon."""
        self._keeper.put(
            Memory(
                self._settings.session,
                self._settings.redis_url,
                last_file=ledger.last_file,
                last_entry=self._last_entry,
                listening=self._goes_on,
                running=(*map(order_for, ledger.running.values()), *postponed),
                links=tuple(links),
                finished=tuple(islice(ledger.finished, _RECALLED)),
            )
        )

    def close(self) -> None:
        """Wait until it is written, for a while."""
        self._keeper.close(_CLOSE_S)
