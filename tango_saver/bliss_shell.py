"""The object ``saver`` of the BLISS shell: a Beacon configuration object over the Tango device.

It runs inside BLISS, in the Python environment of BLISS, which may be older than ours and has
other versions of our dependencies. Therefore this module stands alone: it needs PyTango and
gevent, which every BLISS has, and ``tango_saver.errors``; nothing else of tango_saver, nothing of
BLISS, and no syntax newer than Python 3.9. ``pip install --no-deps tango-saver`` is enough there.

    - plugin: generic
      package: tango_saver.bliss_shell
      class: SessionSaver
      name: saver
      device: id00/tango_saver/my_session
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any, Iterator, Optional  # noqa: UP035 - the names of Python 3.9

import gevent
import tango

from tango_saver.errors import ConfigurationError, EngineError

_SHOWN = (
    "State", "Status", "Session", "RunningScans", "ScanProgress", "LastFile", "ScansSaved",
    "ScansFailed", "PointsLost", "DataRate", "DiskFree", "Warnings",
)  # fmt: skip
_LOOK_AGAIN_S = 0.1
_FAILED = "FAILED"
_OF_TANGO = ("API_", "DB_")
"""Reasons that come from Tango itself, not from the device."""
_WHEN_AWAY = "Check that the server TangoSaver runs, and the name of the device"


class SessionSaver:
    """Starts, stops and shows the saver of a session; other greenlets go on meanwhile.

    Args:
        config: what the YAML says: ``name``, and ``device``, the full name of the Tango device.

    Raises:
        ConfigurationError: there is no ``device`` in it. A device that cannot be reached costs
            no session: each call says so.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.name = str(config.get("name") or "saver")
        self.device = str(config.get("device") or "")
        if not self.device:
            raise ConfigurationError(
                f"{self.name} has no device in its YAML",
                advice="Write device: id00/tango_saver/my_session",
            )
        self._proxy: Optional[Any] = None  # noqa: UP045 - Python 3.9

    def start(self) -> None:
        """Listen for scans; ignored if it does already.

        Raises:
            ConfigurationError: the device cannot be reached, or its properties cannot be used.
        """
        with self._told():
            self._device().Start()

    def stop(self) -> None:
        """Take no new scan and finish the running ones; returns at once, see ``wait``.

        Raises:
            ConfigurationError: the device cannot be reached.
        """
        with self._told():
            self._device().Stop()

    def wait(self, timeout: float = 60.0) -> str:
        """Wait until the scans that are being saved now are wholly in their files, and closed.

        Args:
            timeout: seconds.

        Returns:
            the file of the newest finished scan, empty if there is none.

        Raises:
            EngineError: they are not within this time; or one of them is not wholly saved.
            ConfigurationError: the device cannot be reached.
        """
        awaited = list(self._read("RunningScans")["RunningScans"])
        with gevent.Timeout(timeout, False):  # noqa: FBT003 - gevent's signature
            while set(awaited) & set(self._read("RunningScans")["RunningScans"]):
                gevent.sleep(_LOOK_AGAIN_S)
        now = self._read("RunningScans", "FinishedScans", "LastFile", "Status")
        unfinished = [scan for scan in awaited if scan in now["RunningScans"]]
        if unfinished:
            raise EngineError(
                f"{', '.join(unfinished)} not saved within {timeout:g} s",
                advice=f"{now['Status']}",
            )
        failed = [
            line
            for line in (_line_of(scan, now["FinishedScans"]) for scan in awaited)
            if line.partition(": ")[2].startswith(_FAILED)
        ]
        if failed:
            raise EngineError("; ".join(failed))
        return str(now["LastFile"])

    @property
    def state(self) -> str:
        """Name of the Tango state: ON listening, RUNNING saving, OFF stopped, ALARM, FAULT.

        Raises:
            ConfigurationError: the device cannot be reached.
        """
        return str(self._read("State")["State"])

    @property
    def last_file(self) -> str:
        """File of the newest finished scan; empty if there is none.

        Raises:
            ConfigurationError: the device cannot be reached.
        """
        return str(self._read("LastFile")["LastFile"])

    def __info__(self) -> str:
        """What BLISS shows when somebody types ``saver``; never raises."""
        try:
            return described(self.device, self._read(*_SHOWN))
        except ConfigurationError as error:
            return str(error)

    def _device(self) -> Any:
        if self._proxy is None:
            self._proxy = tango.DeviceProxy(self.device, green_mode=tango.GreenMode.Gevent)
        return self._proxy

    def _read(self, *names: str) -> dict[str, Any]:
        with self._told():
            found = self._device().read_attributes(list(names))
            return {name: _value(attribute) for name, attribute in zip(names, found)}  # noqa: B905 - Python 3.9

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except tango.DevFailed as error:
            first = error.args[0]
            is_away = first.reason.startswith(_OF_TANGO)
            raise ConfigurationError(
                f"{self.name} ({self.device}): {' '.join(first.desc.split())}",
                advice=_WHEN_AWAY if is_away else "",  # a refusal has its own
            ) from error


def described(device: str, values: Mapping[str, Any]) -> str:
    """The values of a saver for a person.

    Args:
        device: its name.
        values: by attribute.
    """
    rows = [("saving", line) for line in _running(values)]
    rows.append(("last file", values["LastFile"] or "none yet"))
    counts = (
        f"{values['ScansSaved']} saved, {values['ScansFailed']} failed,"
        f" {values['PointsLost']} points lost"
    )
    rows.append(("scans", counts))
    if values["RunningScans"]:
        rows.append(("rate", f"{values['DataRate']:.2f} MB/s"))
    if not math.isnan(values["DiskFree"]):
        rows.append(("disk", f"{values['DiskFree']:.1f} GB free"))
    rows += [("look at", warning) for warning in values["Warnings"]]
    head = f"Saver of session {values['Session']} ({device}): {values['State']!s}"
    return "\n".join((head, values["Status"], *(f"  {name:<10} {text}" for name, text in rows)))


def _running(values: Mapping[str, Any]) -> Iterator[str]:
    for scan, percent in zip(values["RunningScans"], values["ScanProgress"]):  # noqa: B905 - Python 3.9
        yield scan if math.isnan(percent) else f"{scan} {percent:.0f} %"


def _line_of(scan: str, finished: list[str]) -> str:
    """The newest line on a scan, which stands first."""
    return next((line for line in finished if line.startswith(f"{scan}: ")), "")


def _value(attribute: Any) -> Any:
    if attribute.has_failed:
        raise tango.DevFailed(*attribute.get_err_stack())
    value = attribute.value
    if isinstance(value, (str, int, float)):
        return value
    # lists come as tuples or arrays, empty ones of older PyTango as None
    return [] if value is None else list(value)
