"""The device server ``TangoSaver``: one process, any number of devices of its three classes."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from tango.server import run

from tango_saver.control.device import TangoSaver, logs, savers, side_work
from tango_saver.control.faces import BlissWriter, NexusWriter
from tango_saver.control.logs import log_to
from tango_saver.control.register import SERVER_NAME
from tango_saver.engine.pool import warm_up

EXIT_UNFINISHED = 3
"""Scans were not finished within finish_timeout; they go on at the next start."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script ``TangoSaver``; ends when the server is ended.

    Args:
        arguments: those of the command line after the program's name.

    Raises:
        SystemExit: with ``EXIT_UNFINISHED``.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    log_to(logs)
    warm_up()
    try:
        run(
            [TangoSaver, NexusWriter, BlissWriter],
            [SERVER_NAME, *(sys.argv[1:] if arguments is None else arguments)],
            raises=True,
        )
    finally:
        finished = savers.end_all()
        side_work.close()
    if not finished:
        raise SystemExit(EXIT_UNFINISHED)
