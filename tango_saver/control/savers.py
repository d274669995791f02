"""The savers of all devices of the server, by device name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tango_saver.control.conductors import Conductors
from tango_saver.control.saver import Saver
from tango_saver.control.shown import Snapshot

_RETURN_S = 20.0
"""A device that is being restarted is back long before."""


class Savers:
    """Keeps a saver while its device is restarted; ends those whose device does not return.

    Args:
        publish: takes the name of the device and its new snapshot.
        refresh: takes the name of the device whose snapshot is to be asked for.
        troubles: takes the name of a device; what beside its saving does not work.
    """

    def __init__(
        self,
        publish: Callable[[str, Snapshot], None],
        refresh: Callable[[str], None],
        troubles: Callable[[str], tuple[str, ...]] = lambda _name: (),
    ) -> None:
        self._publish = publish
        self._refresh = refresh
        self._troubles = troubles
        self._lock = threading.Lock()
        self._conductors = Conductors()
        self._savers: dict[str, Saver] = {}
        self._farewells: dict[str, threading.Timer] = {}
        self._all_finished = True

    def take(self, device_name: str, own_writers: frozenset[str] = frozenset()) -> Saver:
        """The saver of a device, the same as before a restart of the device.

        Args:
            device_name: full name.
            own_writers: values of SCAN_SAVING.writer that its class is made for.
        """
        with self._lock:
            farewell = self._farewells.pop(device_name, None)
            if farewell is not None:
                farewell.cancel()
            if device_name not in self._savers:
                self._savers[device_name] = Saver(
                    partial(self._publish, device_name),
                    partial(self._refresh, device_name),
                    self._conductors,
                    own_writers,
                    partial(self._troubles, device_name),
                )
            return self._savers[device_name]

    def leave(self, device_name: str) -> None:
        """The device is gone, perhaps to come back at once."""
        with self._lock:
            farewell = threading.Timer(_RETURN_S, self._end, (device_name,))
            farewell.daemon = True
            self._farewells[device_name] = farewell
            farewell.start()

    def end_all(self) -> bool:
        """The server ends: finish all running scans within their time, then return.

        Returns:
            whether all were finished, by this call and those before.
        """
        with self._lock:
            savers, self._savers = tuple(self._savers.values()), {}
            farewells, self._farewells = tuple(self._farewells.values()), {}
        for farewell in farewells:
            farewell.cancel()
        with ThreadPoolExecutor(len(savers) or 1) as together:
            finished = all(list(together.map(Saver.close, savers)))
        self._all_finished = self._all_finished and finished
        return self._all_finished

    def _end(self, device_name: str) -> None:
        with self._lock:
            if self._farewells.pop(device_name, None) is None:
                return
            saver = self._savers.pop(device_name)
        saver.close()
