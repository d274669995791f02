"""Log files: rotate, never hold up who logs, and show the lines of a scan by its key."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from tango_saver.control.log_files import LogFile, LogPlace

KEY = "esrf:scan:01JABCDEF"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The logger of a module, for this test alone."""
    logger = logging.getLogger("tango_saver.engine.writer")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    yield logger
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
    for handler in tuple(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def log_into(logger: logging.Logger, file: Path, size_mb: float = 1.0, files: int = 3) -> LogFile:
    log = LogFile(LogPlace(file, size_mb, files))
    logger.addHandler(log)
    return log


def test_every_line_of_a_traceback_has_the_key_of_its_scan(
    logger: logging.Logger, tmp_path: Path
) -> None:
    log = log_into(logger, tmp_path / "saver.log")
    try:
        int("two\nlines")
    except ValueError:
        logger.exception("scan %s: a defect costs it its end", KEY)
    log.close()

    lines = (tmp_path / "saver.log").read_text().splitlines()
    assert len(lines) > 4
    assert all(KEY in line for line in lines)
    assert all(" ERROR tango_saver.engine.writer:" in line for line in lines)


def test_key_is_found_in_the_text_of_an_error_with_its_channel(
    logger: logging.Logger, tmp_path: Path
) -> None:
    log = log_into(logger, tmp_path / "saver.log")

    logger.error("scan %s, channel x: cannot be read.\nLook there", KEY)
    log.close()

    second = (tmp_path / "saver.log").read_text().splitlines()[1]
    assert second.endswith(f" scan {KEY}: | Look there")


def test_files_rotate_and_the_oldest_goes(logger: logging.Logger, tmp_path: Path) -> None:
    log = log_into(logger, tmp_path / "logs" / "saver.log", size_mb=0.01, files=3)

    for number in range(500):
        logger.info("line %04d %s", number, "x" * 60)
    log.close()

    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["saver.log", "saver.log.1", "saver.log.2"]
    assert all(file.stat().st_size <= 10_000 for file in files)
    assert "line 0499" in files[0].read_text()


def test_folder_that_cannot_be_written_is_told_and_its_lines_are_counted(
    logger: logging.Logger, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    log = log_into(logger, tmp_path / "logs" / "saver.log")

    logger.info("lost")
    wait_until(lambda: log.trouble)
    assert log.trouble.startswith(f"1 lines are not in the log {tmp_path}/logs/saver.log: ")

    (tmp_path / "logs").unlink()
    logger.info("kept")
    log.close()
    assert log.trouble == ""
    assert "around here 1 lines are not in the log" in (tmp_path / "logs" / "saver.log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="a pipe stands for a file system that hangs")
def test_file_system_that_hangs_holds_nobody_up(logger: logging.Logger, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "saver.log")  # opening it waits for a reader, as a dead NFS server does
    log = log_into(logger, tmp_path / "saver.log")

    for number in range(10_100):
        logger.info("line %d", number)

    assert log.trouble.endswith("its file system does not answer")
    assert 0 < int(log.trouble.split()[0]) <= 100
    with (tmp_path / "saver.log").open() as reader:
        assert reader.readline().startswith("around here ")
        assert reader.readline().endswith("line 0\n")
