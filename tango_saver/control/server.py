"""The device server ``TangoSaver``: one process, any number of devices of its three classes."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Sequence

from tango.server import run

from tango_saver import __version__
from tango_saver.control.device import TangoSaver, logs, savers, side_work
from tango_saver.control.faces import BlissWriter, NexusWriter
from tango_saver.control.logs import log_to
from tango_saver.control.register import SERVER_NAME
from tango_saver.engine.pool import warm_up

EXIT_UNFINISHED = 3
"""Scans were not finished within finish_timeout; they go on at the next start."""

_log = logging.getLogger(__name__)


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
    chosen = list(sys.argv[1:] if arguments is None else arguments)
    name = "/".join([SERVER_NAME, *chosen[:1]])

    def tell_ready() -> None:
        # what goes to stdout is lost where Starter starts the server
        _log.info("%s is ready, tango_saver %s", name, __version__)

    try:
        run(
            [TangoSaver, NexusWriter, BlissWriter],
            [SERVER_NAME, *chosen],
            raises=True,
            post_init_callback=tell_ready,
        )
    finally:
        finished = savers.end_all()
        side_work.close()
    _log.info("%s has ended", name)
    if not finished:
        raise SystemExit(EXIT_UNFINISHED)
