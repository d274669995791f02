"""The log of the server in files that rotate, written by a thread of its own.

Whoever logs never waits for the file system of the logs: what it does not take is counted and
told. Every line of a record says which scan it is about, so that one scan's lines, tracebacks
and those of worker processes included, are found by its key.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

_LONGEST_BACKLOG = 10_000
"""Lines that wait for a file system which does not answer."""
_FAREWELL_S = 2.0
"""Longest wait at the end of the server for what is not written yet."""
_MEGABYTE = 1_000_000
_SCAN = re.compile(r"\bscan (\S+?:\S+?)[,:.]?(?=\s|$)")
"""How log messages and errors name a scan; every key has colons."""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a log goes."""

    file: Path
    size_mb: float
    """A file that would grow beyond this becomes ``<file>.1``, that one ``<file>.2`` ..."""
    files: int
    """How many there are at most, the current one included."""


class ScanLines(logging.Formatter):
    """Time, level and logger before every line, the scan's key before the second and later ones."""

    def format(self, record: logging.LogRecord) -> str:
        """All lines of a record."""
        head = f"{self.formatTime(record)} {record.levelname} {record.name}:"
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        first, *others = text.splitlines() or [""]
        scan = "".join(f" scan {key}:" for key in dict.fromkeys(_SCAN.findall(first)))
        return "\n".join((f"{head} {first}", *(f"{head}{scan} | {line}" for line in others)))


class LogFile(logging.Handler):
    """Takes records at once and writes them when the file system takes them."""

    def __init__(self, place: LogPlace) -> None:
        super().__init__()
        self.place = place
        self.setFormatter(ScanLines())
        self._waiting: queue.Queue[str | None] = queue.Queue(_LONGEST_BACKLOG)
        self._reason = ""
        self._missing = 0
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._write_all, name="log file", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why the log is not complete now, a sentence; empty if all is well."""
        if not self._missing:
            return ""
        reason = self._reason or "its file system does not answer"
        return f"{self._missing} lines are not in the log {self.place.file}: {reason}"

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging`` in the thread that logs."""
        try:
            self._waiting.put_nowait(self.format(record))
        except queue.Full:
            self._miss("")

    def close(self) -> None:
        """Write what waits, as far as the file system answers; idempotent."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(_FAREWELL_S)
        super().close()

    def _miss(self, reason: str) -> None:
        with self._counting:
            self._missing += 1
            self._reason = reason

    def _write_all(self) -> None:
        file: _RotatingFile | None = None
        while (text := self._waiting.get()) is not None:
            try:
                file = file or _open(self.place)
                if trouble := self.trouble:
                    file.write(f"around here {trouble}")
                file.write(text)
            except OSError as error:
                self._miss(error.strerror or str(error))
                _close(file)
                file = None
            else:
                with self._counting:
                    self._missing, self._reason = 0, ""
        _close(file)


class _RotatingFile(RotatingFileHandler):
    """Raises what goes wrong."""

    def write(self, text: str) -> None:
        """Write one text and a line end.

        Raises:
            OSError: it may not be in the file.
        """
        self.emit(logging.LogRecord("", logging.INFO, "", 0, text, None, None))

    def handleError(self, record: logging.LogRecord) -> None:
        """Called in the handler of the exception."""
        del record
        raise  # noqa: PLE0704 - the exception that is being handled


def _open(place: LogPlace) -> _RotatingFile:
    place.file.parent.mkdir(parents=True, exist_ok=True)
    return _RotatingFile(
        place.file,
        maxBytes=round(place.size_mb * _MEGABYTE),
        backupCount=place.files - 1,
        encoding="utf-8",
    )


def _close(file: _RotatingFile | None) -> None:
    """Close a file; what it could not write any more is counted already."""
    if file is not None:
        try:
            file.close()
        except OSError:
            logging.getLogger(__name__).debug("closing the log failed", exc_info=True)
