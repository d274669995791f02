"""A file is taken away from a process that has it open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from tango_saver.errors import TargetUnusableError
from tango_saver.sink.displacing import displace, may_be_open

HOLDER = """
import sys, h5py
file = h5py.File(sys.argv[1], "a", locking=True)
print("open", flush=True)
sys.stdin.readline()
file["late"] = list(range(1000))
file.close()
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["1.1/data"] = list(range(100))
    return tmp_path / "scan.h5"


@pytest.fixture
def holder(target: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the file open, and writes to it when told."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_what_its_process_writes_later_is_in_no_file_that_anybody_finds(
    target: Path, holder: subprocess.Popen[str]
) -> None:
    assert may_be_open(target)
    displace(target)
    assert not may_be_open(target)
    before = target.read_bytes()
    holder.communicate("write\n", timeout=20)
    assert holder.returncode == 0
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]


def test_the_copy_has_all_of_the_file_and_its_permissions(target: Path) -> None:
    target.chmod(0o640)
    before, inode = target.read_bytes(), target.stat().st_ino
    displace(target)
    assert target.read_bytes() == before
    assert target.stat().st_ino != inode
    assert target.stat().st_mode & 0o777 == 0o640


def test_what_lies_where_the_copy_is_made_is_not_followed(target: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("of somebody")
    (tmp_path / ".scan.h5.copy").symlink_to(elsewhere)
    before = target.read_bytes()
    displace(target)
    assert target.read_bytes() == before
    assert elsewhere.read_text() == "of somebody"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "scan.h5"]


def test_a_file_that_nobody_has_open_is_known_not_to_be(target: Path) -> None:
    assert not may_be_open(target)


def test_a_file_that_is_gone_cannot_be_taken_over(tmp_path: Path) -> None:
    with pytest.raises(TargetUnusableError):
        displace(tmp_path / "missing.h5")
