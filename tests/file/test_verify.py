from pathlib import Path

import h5py
import numpy as np
import pytest

from tango_saver.errors import DatasetError, TargetUnusableError
from tango_saver.sink.verify import difference, read_points, tree

POINTS = np.arange(6, dtype=">i4").reshape(3, 2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as opened:
        opened["1.1/instrument/mca/spectrum"] = POINTS
        opened["1.1"].attrs["NX_class"] = "NXentry"
        opened["1.1/title"] = "ascan"
        opened["1.1/mca"] = h5py.SoftLink("/1.1/instrument/mca/spectrum")
    return path


def test_equal_points_have_no_difference(file: Path) -> None:
    assert not difference(file, "/1.1/instrument/mca/spectrum", POINTS)


def test_one_changed_value_is_counted(file: Path) -> None:
    published = POINTS.copy()
    published[2, 1] = 77

    assert "1 of 6 values" in difference(file, "/1.1/instrument/mca/spectrum", published)


def test_equal_not_a_number_is_no_difference(tmp_path: Path) -> None:
    values = np.array([1.0, np.nan])
    with h5py.File(tmp_path / "data.h5", "w") as opened:
        opened["x"] = values

    assert not difference(tmp_path / "data.h5", "/x", values)


def test_a_missing_point_is_a_difference(file: Path) -> None:
    assert "shape (3, 2)" in difference(file, "/1.1/instrument/mca/spectrum", POINTS[:2])


def test_another_byte_order_is_a_difference(file: Path) -> None:
    published = POINTS.astype("<i4")

    assert "dtype >i4" in difference(file, "/1.1/instrument/mca/spectrum", published)


def test_a_missing_dataset_is_named(file: Path) -> None:
    assert "/1.1/nothing" in difference(file, "/1.1/nothing", POINTS)
    with pytest.raises(DatasetError, match=r"/1\.1/nothing"):
        read_points(file, "/1.1/nothing")


def test_a_file_that_is_no_hdf5_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.h5"
    text.write_text("no HDF5")

    with pytest.raises(TargetUnusableError, match=r"notes\.h5"):
        list(tree(text))


def test_the_tree_shows_classes_values_and_links(file: Path) -> None:
    shown = [(line.depth, line.name, line.text) for line in tree(file)]

    assert shown == [
        (0, "1.1", "NXentry"),
        (1, "instrument", ""),
        (2, "mca", ""),
        (3, "spectrum", ">i4 (3, 2)"),
        (1, "mca", "→ /1.1/instrument/mca/spectrum"),
        (1, "title", "ascan"),
    ]
