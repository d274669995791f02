"""What the server does beside saving, at the wish of properties: metrics and log files.

Nothing of it can keep a scan from being saved; what does not work is told as an alarm.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, replace

from tango_saver import __version__
from tango_saver.control.log_files import LogFile, LogPlace
from tango_saver.control.logs import LOGGER
from tango_saver.control.metrics import MetricsPorts, TakeSnapshot
from tango_saver.model.status import SaverState, SaverStatus

_log = logging.getLogger(__name__)
_WORKING = frozenset({SaverState.ON, SaverState.RUNNING})


@dataclass(frozen=True, slots=True)
class SideConfiguration:
    """The wishes of one device."""

    metrics_port: int = 0
    """0 for none."""
    log: LogPlace | None = None


class SideWork:
    """Of all devices of the server. Devices that name the same port or file share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ports = MetricsPorts()
        self._port_troubles: dict[str, str] = {}
        self._logs: dict[str, LogFile] = {}

    def configure(
        self, device: str, configuration: SideConfiguration, snapshot: TakeSnapshot
    ) -> None:
        """Do what a device wishes, instead of what it wished before.

        Args:
            device: full name.
            configuration: checked.
            snapshot: of the device; called from other threads.
        """
        with self._lock:
            trouble = self._ports.show(device, configuration.metrics_port, snapshot)
            self._port_troubles[device] = trouble
            self._log(device, configuration.log)
        # also the proof that the log can be written
        _log.info("%s: tango_saver %s, process %d", device, __version__, os.getpid())

    def troubles(self, device: str) -> tuple[str, ...]:
        """What does not work for a device, one sentence each; never waits."""
        log = self._logs.get(device)
        of_log = log.trouble if log is not None else ""
        return tuple(filter(None, (self._port_troubles.get(device, ""), of_log)))

    def close(self) -> None:
        """The server ends: write the rest of the logs."""
        with self._lock:
            self._ports.close()
            for device in tuple(self._logs):
                self._log(device, None)

    def _log(self, device: str, place: LogPlace | None) -> None:
        before = self._logs.pop(device, None)
        if place is not None:
            self._logs[device] = self._file(place, before)
        if before is not None and before not in self._logs.values():
            logging.getLogger(LOGGER).removeHandler(before)
            before.close()

    def _file(self, place: LogPlace, before: LogFile | None) -> LogFile:
        """The handler that writes there; the newest limits hold for all that share the file."""
        known = (before, *self._logs.values())
        shared = next((log for log in known if log and log.place.file == place.file), None)
        if shared is not None and shared.place == place:
            return shared
        log = LogFile(place)
        logging.getLogger(LOGGER).addHandler(log)
        if shared is not None:
            self._logs = {
                device: log if other is shared else other for device, other in self._logs.items()
            }
            logging.getLogger(LOGGER).removeHandler(shared)
            shared.close()
        return log


def with_troubles(status: SaverStatus, troubles: tuple[str, ...]) -> SaverStatus:
    """The status of a saver that works, but whose metrics or log do not: somebody should look."""
    if not troubles:
        return status
    return replace(
        status,
        state=SaverState.ALARM if status.state in _WORKING else status.state,
        status=f"{status.status}\nLook at: {'; '.join(troubles)}.",
        alarms=(*status.alarms, *troubles),
    )
