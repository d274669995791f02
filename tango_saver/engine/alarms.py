"""Why somebody should look: until it is over, or until somebody has."""

from __future__ import annotations

from collections import deque

_KEPT = 20
"""Sentences that wait for Reset; older ones are dropped, the reports still have them."""


class Alarms:
    """Sentences by cause (while the cause lasts), and sentences that wait for Reset."""

    def __init__(self) -> None:
        self._causes: dict[str, str] = {}
        self._kept: deque[str] = deque(maxlen=_KEPT)
        self.last_error = ""
        """The newest of all errors since ``reset``, whether somebody should look or not."""

    def set(self, cause: str, sentence: str) -> None:
        """The cause is there; an empty sentence means that it is not."""
        if sentence:
            self._causes[cause] = sentence
        else:
            self._causes.pop(cause, None)

    def keep(self, sentence: str) -> None:
        """It has happened, and stays until ``reset``."""
        if sentence not in self._kept:
            self._kept.append(sentence)

    def reset(self) -> None:
        """Somebody has looked; what still lasts stays."""
        self._kept.clear()
        self.last_error = ""

    def sentences(self) -> tuple[str, ...]:
        """What lasts first, then what happened, newest first."""
        return (*self._causes.values(), *reversed(self._kept))
