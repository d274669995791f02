"""The logging of a worker goes to the conductor, which logs it as its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tango_saver.engine.messages import LogLine


class ForwardingHandler(logging.Handler):
    """Turns each record, traceback included, into a message."""

    def __init__(self, tell: Callable[[LogLine], None]) -> None:
        super().__init__()
        self._tell = tell
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._tell(LogLine(record.levelno, record.name, self.format(record)))


def forward_logging(tell: Callable[[LogLine], None]) -> None:
    """From now on the loggers of this process speak to the conductor only."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(ForwardingHandler(tell))
    root.setLevel(logging.WARNING)
    logging.getLogger("tango_saver").setLevel(logging.INFO)


def log_forwarded(line: LogLine, worker: int) -> None:
    """Log what a worker said, under the name of the logger that said it."""
    logging.getLogger(line.logger).log(line.level, "%s [worker %d]", line.text, worker)
