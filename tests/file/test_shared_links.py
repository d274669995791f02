"""Links that files shared by many scans get to the entries of a scan."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from tango_saver.errors import TargetLockedError
from tango_saver.model.plan import ExternalLink
from tango_saver.sink.file import TargetFile, entries_of

LINK = ExternalLink("/data_1.1", "sample/data.h5", "/1.1")


def link(path: Path, *links: ExternalLink) -> tuple[str, ...]:
    file = TargetFile.open(path)
    try:
        return file.add_links(links or (LINK,), {"NX_class": "NXroot"})
    finally:
        file.close()


def test_a_shared_file_is_made_with_its_first_link(tmp_path: Path) -> None:
    path = tmp_path / "new" / "master.h5"
    assert link(path) == ()
    with h5py.File(path) as file:
        assert file.attrs["NX_class"] == "NXroot"
        made = file.get("data_1.1", getlink=True)
        assert (made.filename, made.path) == ("sample/data.h5", "/1.1")


def test_the_same_link_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "master.h5"
    link(path)
    with h5py.File(path, "a") as file:
        file.attrs["mine"] = "kept"
    assert link(path) == ()
    with h5py.File(path) as file:
        assert list(file) == ["data_1.1"]
        assert file.attrs["mine"] == "kept"


def test_what_has_the_name_already_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "master.h5"
    with h5py.File(path, "w") as file:
        file["data_1.1/title"] = "an entry"
        file["other_1.1"] = h5py.ExternalLink("elsewhere.h5", "/1.1")
    other = ExternalLink("/other_1.1", "sample/other.h5", "/1.1")
    assert link(path, LINK, other) == (
        f"{path} has something else called data_1.1 already",
        f"{path} has something else called other_1.1 already",
    )
    with h5py.File(path) as file:
        assert file["data_1.1/title"][()] == b"an entry"
        assert file.get("other_1.1", getlink=True).filename == "elsewhere.h5"


def test_a_file_that_somebody_else_writes_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "master.h5"
    holder = TargetFile.open(path)
    with pytest.raises(TargetLockedError):
        link(path)
    holder.close()
    assert link(path) == ()


def test_entries_of_a_file_that_is_missing_or_no_hdf5_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no HDF5")
    assert entries_of(tmp_path / "absent.h5") == frozenset()
    assert entries_of(tmp_path / "text.h5") == frozenset()
    link(tmp_path / "master.h5")
    assert entries_of(tmp_path / "master.h5") == {"data_1.1"}
