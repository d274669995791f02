"""The reader that looks at files while they are written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from file.reader_process import ReaderProcess


@pytest.fixture(scope="session")
def reader() -> Iterator[ReaderProcess]:
    """Another process with plain h5py."""
    with ReaderProcess() as process:
        yield process
