"""The lists of scans that the classic NexusWriter shows, with its attributes of log levels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import IntEnum

from tango import AttrWriteType, DispLevel
from tango.server import Device, attribute

from tango_saver.control.logs import LOGGER
from tango_saver.control.scans import (
    SavedScan,
    duration_text,
    end_text,
    listed_scans,
    progress_text,
    scan_state,
    scan_urls,
    state_text,
    time_text,
)
from tango_saver.control.shown import LONGEST_LIST, ShownAttribute, Snapshot, scan_label

_LIST = {"dtype": (str,), "max_dim_x": LONGEST_LIST, "display_level": DispLevel.EXPERT}
_SETTING = {"access": AttrWriteType.READ_WRITE, "display_level": DispLevel.EXPERT}


class LogLevel(IntEnum):
    """How much is logged, as the classic NexusWriter numbers it."""

    NOTSET = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4
    FATAL = 5


_PYTHON_LEVELS = {
    LogLevel.NOTSET: logging.NOTSET,
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARN: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
    LogLevel.FATAL: logging.CRITICAL,
}
_TANGO_LEVELS = {
    LogLevel.NOTSET: 100,
    LogLevel.FATAL: 200,
    LogLevel.ERROR: 300,
    LogLevel.WARN: 400,
    LogLevel.INFO: 500,
    LogLevel.DEBUG: 600,
}
"""Tango's own numbers; the first is silence."""


def _named(text: Callable[[SavedScan], str]) -> Callable[[Snapshot], list[str]]:
    """One line per scan: its name, and what is to be said of it."""
    return lambda shown: [f"{scan_label(scan)}: {text(scan)}" for scan in listed_scans(shown)]


class ListingDevice(Device):
    """Scans that are being saved and those that were, oldest first in every list."""

    scan_names = ShownAttribute(
        lambda shown: [scan_label(scan) for scan in listed_scans(shown)],
        **_LIST,
        label="Scans",
        doc="Number and name of the scans, those that are being saved at the end.",
    )
    scan_states = ShownAttribute(
        lambda shown: [scan_state(scan) for scan in listed_scans(shown)],
        **{**_LIST, "dtype": ("DevState",)},
        label="Scan states",
        doc="INIT, ON while it is saved, OFF when it is, FAULT if data are missing;"
        " in the order of scan_names.",
    )
    scan_states_info = ShownAttribute(
        _named(state_text), **_LIST, label="Scan states in words", doc="State of every scan, why."
    )
    scan_urls = ShownAttribute(
        lambda shown: [
            f"{scan_label(scan)}: {url}" for scan in listed_scans(shown) for url in scan_urls(scan)
        ],
        **_LIST,
        label="Scan URLs",
        doc="file::/entry of every entry of every scan.",
    )
    scan_start = ShownAttribute(
        _named(lambda scan: time_text(scan.started_at)),
        **_LIST,
        label="Scan starts",
        doc="When the saving of every scan began.",
    )
    scan_end = ShownAttribute(
        _named(end_text), **_LIST, label="Scan ends", doc="When every scan was saved."
    )
    scan_duration = ShownAttribute(
        _named(duration_text),
        **_LIST,
        label="Scan durations",
        doc="How long the saving of every scan took, or takes so far.",
    )
    scan_progress = ShownAttribute(
        _named(progress_text),
        **_LIST,
        label="Scan progress",
        doc="Points of every scan that are saved, and how many there will be.",
    )
    scan_info = ShownAttribute(
        _named(lambda scan: f"{progress_text(scan)} -> {scan.target}"),
        **_LIST,
        label="Scan information",
        doc="Points of every scan that are saved, and its file.",
    )

    def _read_writer_level(self) -> LogLevel:
        level = logging.getLogger(LOGGER).getEffectiveLevel()
        return max(name for name, value in _PYTHON_LEVELS.items() if value <= level)

    def _write_writer_level(self, level: int) -> None:
        logging.getLogger(LOGGER).setLevel(_PYTHON_LEVELS[LogLevel(level)])

    def _read_tango_level(self) -> LogLevel:
        level = self.get_logger().get_level()
        return max(
            (name for name, value in _TANGO_LEVELS.items() if value <= level),
            key=_TANGO_LEVELS.__getitem__,
            default=LogLevel.NOTSET,
        )

    def _write_tango_level(self, level: int) -> None:
        self.get_logger().set_level(_TANGO_LEVELS[LogLevel(level)])

    writer_log_level = attribute(
        fget=_read_writer_level,
        fset=_write_writer_level,
        dtype=LogLevel,
        **_SETTING,
        label="Log level",
        doc="How much the saver logs, to Tango and to the log of the server."
        " Holds until the server ends.",
    )
    tango_log_level = attribute(
        fget=_read_tango_level,
        fset=_write_tango_level,
        dtype=LogLevel,
        **_SETTING,
        label="Tango log level",
        doc="How much of that goes to the log targets of this device.",
    )
