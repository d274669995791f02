from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from file.compare import compare, extras

GOLDEN = Path(__file__).parent / "golden"


def remove(path: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(path)


def replace(path: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        attributes = dict(file[path].attrs)
        del file[path]
        file[path] = value
        if not isinstance(value, h5py.SoftLink):
            file[path].attrs.update(attributes)

    return change


def frozen_length(file: h5py.File) -> None:
    values = file["1.1/instrument/diode/signal"][()]
    replace("1.1/instrument/diode/signal", values)(file)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (remove("1.1/instrument/robx"), "/1.1/instrument/robx: missing"),
        (remove("1.1/measurement/diode"), "/1.1/measurement/diode: missing"),
        (lambda f: f["1.1"].attrs.__delitem__("NX_class"), "/1.1@NX_class: missing"),
        (lambda f: f.attrs.__setitem__("default", "2.1"), "/@default: value '2.1', not '1.1'"),
        (replace("1.1/title", "other"), "/1.1/title: value b'other'"),
        (replace("1.1/scan_parameters/count_time", 1), "/1.1/scan_parameters/count_time: dtype"),
        (
            replace("1.1/measurement/diode", h5py.SoftLink("/1.1/instrument/diode2/signal")),
            "/1.1/measurement/diode: points at /1.1/instrument/diode2/signal",
        ),
        (
            lambda f: f["1.1/instrument/diode/signal"].__setitem__(3, -1),
            "/1.1/instrument/diode/signal: value",
        ),
        (
            lambda f: f["1.1/instrument/diode/signal"].resize(10, 0),
            "/1.1/instrument/diode/signal: shape (10,), not (11,)",
        ),
        (frozen_length, "/1.1/instrument/diode/signal: cannot grow"),
    ],
)
def test_whatever_is_missing_or_different_is_told(
    change: Callable[[h5py.File], None], expected: str, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.h5"
    shutil.copy(GOLDEN / "ascan.h5", ours)
    with h5py.File(ours, "a") as file:
        change(file)
    assert any(difference.startswith(expected) for difference in compare(GOLDEN / "ascan.h5", ours))


def test_equal_files_have_no_difference_and_no_extras(tmp_path: Path) -> None:
    ours = tmp_path / "ours.h5"
    shutil.copy(GOLDEN / "plotselect.h5", ours)
    assert compare(GOLDEN / "plotselect.h5", ours) == []
    assert extras(GOLDEN / "plotselect.h5", ours) == []


def test_the_clock_of_the_writer_is_not_compared_and_extras_are_listed(tmp_path: Path) -> None:
    ours = tmp_path / "ours.h5"
    shutil.copy(GOLDEN / "ascan.h5", ours)
    with h5py.File(ours, "a") as file:
        replace("1.1/end_time", "later")(file)
        file.attrs["creator"] = "tango_saver"
        file["1.1/plot"] = 1
        file["1.1/title"].attrs["language"] = "en"
    assert compare(GOLDEN / "ascan.h5", ours) == []
    assert sorted(extras(GOLDEN / "ascan.h5", ours)) == ["/1.1/plot", "/1.1/title@language"]


def test_an_intended_difference_counts_in_its_recording_only(tmp_path: Path) -> None:
    ours = tmp_path / "ours.h5"
    shutil.copy(GOLDEN / "dtypes.h5", ours)
    with h5py.File(ours, "a") as file:
        replace("227.1/writer/status", "SUCCEEDED")(file)
    assert compare(GOLDEN / "dtypes.h5", ours, "dtypes") == []
    assert len(compare(GOLDEN / "dtypes.h5", ours, "ascan")) == 1
