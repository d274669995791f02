"""What the fork server loads once, so that a new worker needs no imports.

Nothing here may start a thread or touch the event loop of gevent: workers are forked from
this process. redis is left out, it has to be imported after gevent has patched sockets.
"""

from __future__ import annotations

import os
import signal

# The linear algebra of numpy is of no use to a saver, its threads do not survive a fork.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gevent.lock
import gevent.monkey
import gevent.threadpool
import msgspec
import numpy as np

import tango_saver.layout
import tango_saver.sink.file

# Starter blocks SIGCHLD in the servers that it starts. By that signal the fork server hears that
# a worker has ended; without it nobody hears, and the server waits for the worker for ever.
signal.pthread_sigmask(signal.SIG_SETMASK, ())

__all__ = ["gevent", "msgspec", "np", "tango_saver"]
