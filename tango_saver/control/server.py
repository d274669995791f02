"""The device server ``TangoSaver``: one process, any number of devices of its three classes."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from tango.server import run

from tango_saver.control.device import TangoSaver, logs, savers
from tango_saver.control.faces import BlissWriter, NexusWriter
from tango_saver.control.logs import log_to
from tango_saver.control.register import SERVER_NAME
from tango_saver.engine.pool import warm_up


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script ``TangoSaver``; ends when the server is ended.

    Args:
        arguments: those of the command line after the program's name.
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
        savers.end_all()
