"""A beamline of real BLISS 1, started once per test run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bliss1.beamline import Beamline
from bliss1.environment import NoEnvironmentError, default_folder, make


@pytest.fixture(scope="session")
def beamline() -> Iterator[Beamline]:
    """Beacon with its Redis servers; BLISS is installed at the first run."""
    try:
        python = make(default_folder())
    except NoEnvironmentError as error:
        pytest.skip(str(error))
    # Names of sockets are short.
    with (
        tempfile.TemporaryDirectory(prefix="bliss1_") as folder,
        Beamline(python, Path(folder)) as started,
    ):
        yield started
