"""The worker's side of the claims: it writes only while the lease of its instance holds."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import gevent

_LOOK_S = 0.05


def boot_time() -> float:
    """Seconds since the machine was switched on, those of its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def this_machine() -> str:
    """The same for all processes of this machine since it was switched on."""
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{platform.node()} {boot}".strip()


class Lease:
    """Until when this process may write; of an instance that shares nothing: for ever.

    The moment is one of ``boot_time``, the same for all processes of a machine: what was sent
    before a process was stopped, and is read after, says nothing new.

    Args:
        shared: whether there may be other instances.
    """

    def __init__(self, *, shared: bool) -> None:
        self._until = 0.0 if shared else float("inf")
        self._noted = False

    @property
    def holds(self) -> bool:
        """Whether anything may be written now."""
        return boot_time() < self._until

    @property
    def trouble(self) -> str:
        """Why nothing may be written, a sentence; empty if it may, or has never been."""
        if self.holds or not self._noted:
            return ""
        return (
            "the claims of this instance could not be renewed in Redis: nothing is written until "
            "they are, or another instance goes on"
        )

    def renew(self, until: float) -> None:
        """Redis has renewed it."""
        self._noted = True
        self._until = max(self._until, until)

    def wait(self, ends: Callable[[], object]) -> None:
        """Return when it holds, or when the function says that nothing is to be waited for."""
        while not self.holds and not ends():
            gevent.sleep(_LOOK_S)
