"""The chunks of a file on their way through a pool of threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tango_saver.errors import DatasetError
from tango_saver.model.plan import Filter
from tango_saver.sink.checksum import with_checksum
from tango_saver.sink.encoding import encoded_chunk
from tango_saver.sink.space import FileSpace
from tango_saver.sink.trouble import HDF5_ERRORS, dataset_trouble

_IN_FLIGHT = 32 << 20
"""Bytes of unencoded chunks that may wait for the pool, per file."""


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """How the elements of an array lie in the file."""

    path: str
    channel: str
    dtype: np.dtype[Any]
    chunk: tuple[int, ...]
    fill: npt.NDArray[Any]
    """0-dimensional, of ``dtype``."""
    filter: Filter
    checksum: bool = False
    """Behind every chunk that is written for good."""


class Receiver(Protocol):
    """The array that chunks come back to."""

    form: ArrayForm
    problem: DatasetError | None

    def encoded(self, offset: tuple[int, ...], end: int, encoded: bytes, replaces: bool) -> None:
        """Take a chunk back; ``replaces``: its place in the file is taken by its plain form."""


@dataclass(slots=True)
class _Job:
    array: Receiver
    offset: tuple[int, ...]
    end: int
    n_bytes: int
    replaces: bool
    future: Future[bytes]


class ChunkQueue:
    """The chunks of one file on their way through the pool, handed over in order.

    Waiting for the pool may let another greenlet run, and that one may flush the file:
    whatever waits here is consistent before it does.
    """

    def __init__(self, executor: Executor | None, space: FileSpace, descriptor: int) -> None:
        self.space = space
        self.descriptor = descriptor
        """Of HDF5 itself, for writing inside of a chunk."""
        self._executor = executor
        self._jobs: deque[_Job] = deque()
        self._in_flight = 0
        self._draining = False

    def submit(
        self,
        array: Receiver,
        offset: tuple[int, ...],
        end: int,
        block: Callable[[], npt.NDArray[Any]],
        replaces: bool,
    ) -> None:
        """Encode a chunk; never waits for the pool."""
        work = partial(_encode, block, array.form)
        if self._executor is None:
            future: Future[bytes] = Future()
            try:
                future.set_result(work())
            except HDF5_ERRORS as error:
                future.set_exception(error)
        else:
            future = self._executor.submit(work)
        n_bytes = math.prod(array.form.chunk) * array.form.dtype.itemsize
        self._in_flight += n_bytes
        self._jobs.append(_Job(array, offset, end, n_bytes, replaces, future))

    def make_room(self) -> None:
        """Write what is encoded; wait while too much is not, or the queue is being drained."""
        while self._jobs and (
            self._draining or self._in_flight > _IN_FLIGHT or self._jobs[0].future.done()
        ):
            self._write_first()

    def drain(self) -> None:
        """Write everything that was submitted; whoever appends meanwhile helps."""
        self._draining = True
        try:
            while self._jobs:
                self._write_first()
        finally:
            self._draining = False

    def _write_first(self) -> None:
        job = self._jobs[0]
        array = job.array
        error = job.future.exception()  # waits
        if not self._jobs or self._jobs[0] is not job:
            return
        self._jobs.popleft()
        self._in_flight -= job.n_bytes
        if array.problem is not None:
            return
        try:
            with dataset_trouble(self.space.path, array.form.path, array.form.channel):
                if error is not None:
                    raise error
                array.encoded(job.offset, job.end, job.future.result(), job.replaces)
        except DatasetError as failure:
            array.problem = failure


def _encode(block: Callable[[], npt.NDArray[Any]], form: ArrayForm) -> bytes:
    encoded = encoded_chunk(block(), form.filter)
    return with_checksum(encoded) if form.checksum else encoded
