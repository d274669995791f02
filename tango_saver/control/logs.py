"""Python logging of the saver into the log streams of the Tango devices, and to stderr."""

from __future__ import annotations

import logging
import sys
import threading

from tango.server import Device

LOGGER = "tango_saver"


class DeviceLogHandler(logging.Handler):
    """Sends every record to the log stream of every attached device.

    The Tango logging service then decides by the level and targets of the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        self._devices: dict[str, Device] = {}
        self._attaching = threading.Lock()

    def attach(self, device: Device) -> None:
        """From now on to this device too; replaces the one of the same name."""
        with self._attaching:
            self._devices[device.get_name()] = device

    def detach(self, device: Device) -> None:
        """No record goes to this device any more."""
        with self._attaching:
            self._devices.pop(device.get_name(), None)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging`` in the thread that logs; writing to a stream does not wait."""
        text = self.format(record)
        # under the lock, so that no device is used that was detached meanwhile
        with self._attaching:
            for device in self._devices.values():
                _write(device, record.levelno, text)


def _write(device: Device, level: int, text: str) -> None:
    if level >= logging.CRITICAL:
        device.fatal_stream(text)
    elif level >= logging.ERROR:
        device.error_stream(text)
    elif level >= logging.WARNING:
        device.warn_stream(text)
    elif level >= logging.INFO:
        device.info_stream(text)
    else:
        device.debug_stream(text)


def log_to(handler: DeviceLogHandler) -> None:
    """Send what the saver logs to the devices, and to stderr for Starter's log and the journal."""
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.addHandler(to_stderr)
    logger.addHandler(handler)
