"""The entry point of a worker process.

It imports nothing that uses sockets before gevent has taken them over, which is why the work
itself lies in ``saving``.
"""

from __future__ import annotations

import signal
from multiprocessing.connection import Connection


def main(connection: Connection) -> None:
    """Save scans as told over the connection until it ends or says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the conductor's to judge
    from gevent import monkey  # noqa: PLC0415 - before anything else that it patches

    # Threads stay threads: deflate runs in them, and logging's locks must not switch greenlets.
    monkey.patch_socket()
    monkey.patch_ssl()
    monkey.patch_select()
    monkey.patch_time()
    from tango_saver.engine.allocation import keep_freed_memory  # noqa: PLC0415
    from tango_saver.engine.saving import SavingProcess  # noqa: PLC0415 - imports redis

    keep_freed_memory()

    SavingProcess(connection).run()
