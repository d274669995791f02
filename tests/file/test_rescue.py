"""Of a file whose root a crash has damaged, everything that was finished is kept."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tango_saver.sink.address_book import noted_members
from tango_saver.sink.file import TargetFile
from tango_saver.sink.rescue import damage

WRITER = """
import sys, time
from pathlib import Path
from tango_saver.sink.file import TargetFile
file = TargetFile.open(Path(sys.argv[1]))
print("open", flush=True)
time.sleep(600)
"""


@pytest.fixture
def linked() -> bool:
    return False


@pytest.fixture
def killed(tmp_path: Path, linked: bool) -> Path:
    """A file with 20 entries that was open for writing when its process was killed."""
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        for number in range(20):
            file[f"{number}.1/measurement/diode"] = np.arange(5) + number
            file[f"{number}.1"].attrs["NX_class"] = "NXentry"
        if linked:
            file["latest"] = h5py.ExternalLink("other.h5", "/19.1")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        process.send_signal(signal.SIGKILL)
    return path


def root_structures(content: bytes) -> dict[str, int]:
    """Where the root's parts lie (HDF5 file format; with an external link in it, the new form)."""
    new = {name: content.find(name.encode()) for name in ("FRHP", "FHDB", "BTHD", "BTLF")}

    def address(place: int) -> int:
        return int.from_bytes(content[place : place + 8], "little")

    tree, heap = address(80), address(88)
    return new | {
        "tree": tree,
        "heap": heap,
        "node": address(tree + 32),
        "names": address(heap + 24),
    }


def overwrite(path: Path, structure: str) -> None:
    content = bytearray(path.read_bytes())
    place = root_structures(content)[structure]
    assert place > 0
    content[place : place + 24] = bytes(24)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("linked", "structure"),
    [(False, name) for name in ("heap", "tree", "node", "names")]
    + [(True, name) for name in ("FRHP", "FHDB", "BTHD", "BTLF")],
)
def test_entries_whose_names_are_lost_are_found_by_their_place(
    killed: Path,
    linked: bool,
    structure: str,
) -> None:
    noted = noted_members(killed)
    assert set(noted) == {*(f"{number}.1" for number in range(20)), *(["latest"] * linked)}
    overwrite(killed, structure)
    assert damage(killed, (), noted)
    aside = killed.with_name("aside.h5")
    killed.rename(aside)
    target = TargetFile.open(killed)
    salvaged = target.salvage(aside, noted)
    target.close()
    assert set(noted) <= set(salvaged.kept)
    with h5py.File(killed) as file:
        for number in range(20):
            assert file[f"{number}.1"].attrs["NX_class"] == "NXentry"
            assert (file[f"{number}.1/measurement/diode"][()] == np.arange(5) + number).all()
        if linked:
            assert file.get("latest", getlink=True).filename == "other.h5"


def test_a_file_that_was_closed_in_good_order_leaves_nothing_beside_it(tmp_path: Path) -> None:
    TargetFile.open(tmp_path / "data.h5").close()
    assert [path.name for path in tmp_path.iterdir()] == ["data.h5"]


def test_the_book_of_another_file_is_not_believed(killed: Path) -> None:
    content = killed.read_bytes()
    killed.rename(killed.with_name("first.h5"))
    killed.write_bytes(content)
    assert noted_members(killed) == {}


@pytest.mark.parametrize("line", [b"", b"[1", b'{"1.1":"x"}'])
def test_a_torn_line_costs_itself(killed: Path, line: bytes) -> None:
    (book,) = killed.parent.glob(".data.h5.*")
    with book.open("ab") as file:
        file.write(line)
    assert len(noted_members(killed)) == 20
