"""Metrics and logs of several devices of one server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from tango_saver.control.log_files import LogPlace
from tango_saver.control.logs import LOGGER
from tango_saver.control.shown import Snapshot
from tango_saver.control.side_work import SideConfiguration, SideWork
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState, SaverStatus

LOG = logging.getLogger(f"{LOGGER}.engine.test")
ONE, TWO = "a/b/1", "a/b/2"


@pytest.fixture
def side_work() -> Iterator[SideWork]:
    before = LOG.parent.level if LOG.parent else 0
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    side_work = SideWork()
    yield side_work
    side_work.close()
    logging.getLogger(LOGGER).setLevel(before)


def log_to(side_work: SideWork, device: str, file: Path | None, size_mb: float = 1.0) -> None:
    place = LogPlace(file, size_mb, 3) if file else None
    side_work.configure(device, SideConfiguration(log=place), snapshot)


def snapshot() -> Snapshot:
    return Snapshot(SaverSettings(), SaverStatus(SaverState.ON, "Listening."))


def test_devices_that_name_the_same_folder_share_its_file(
    side_work: SideWork, tmp_path: Path
) -> None:
    for device in (ONE, TWO):
        log_to(side_work, device, tmp_path / "saver.log")

    LOG.info("once")
    side_work.close()

    assert (tmp_path / "saver.log").read_text().count("once") == 1


def test_log_goes_on_while_one_device_wants_it_and_with_its_newest_limits(
    side_work: SideWork, tmp_path: Path
) -> None:
    for device in (ONE, TWO):
        log_to(side_work, device, tmp_path / "saver.log")
    log_to(side_work, ONE, tmp_path / "saver.log", size_mb=0.01)
    log_to(side_work, ONE, None)

    for _ in range(80):
        LOG.info("x" * 100)
    log_to(side_work, TWO, None)
    LOG.info("too late")

    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["saver.log", "saver.log.1"]
    text = "".join(file.read_text() for file in tmp_path.iterdir())
    assert text.count("x" * 100) == 80
    assert "too late" not in text


def test_log_that_cannot_be_written_is_the_trouble_of_the_devices_that_want_it(
    side_work: SideWork, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    log_to(side_work, ONE, tmp_path / "file" / "saver.log")
    log_to(side_work, TWO, None)

    wait_until(lambda: side_work.troubles(ONE))

    assert "not in the log" in side_work.troubles(ONE)[0]
    assert side_work.troubles(TWO) == ()
    log_to(side_work, ONE, tmp_path / "saver.log")
    assert side_work.troubles(ONE) == ()
