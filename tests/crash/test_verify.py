"""``tango-saver verify`` and ``save``: is it all there, and if not, save it again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import pytest
from file.compare import compare
from saving import StartSaver

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState

GOLDEN = Path(__file__).parent.parent / "file" / "golden"
ROBX = "/1.1/instrument/robx/value"


def tango_saver(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command line."""
    code = "from tango_saver.cli import main; main()"
    command: Sequence[str] = [sys.executable, "-c", code, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def saved(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> tuple[str, Path]:
    """Key and file of a scan that was saved."""
    saver = start_saver()
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0)
    saver.reports(keys)
    return keys[0], tmp_path / "data.h5"


@pytest.mark.parametrize(
    "recording", ["ascan", "mca", "samples", "dtypes", "metadata", "parallel", "lima_hdf5", "plots"]
)
def test_what_was_saved_is_complete_by_its_report_and_by_redis(
    recording: str, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    images = Path(__file__).parent.parent / "file" / "files" / recording
    saver = start_saver()
    keys = replay(
        recordings / f"{recording}.json.gz", redis_url, tmp_path, speed=0, file="data.h5",
        images=images if images.exists() else None,
    )  # fmt: skip
    reports = saver.reports(keys)
    assert {report.state for report in reports} == {SavingState.SAVED}
    code, output = tango_saver("verify", str(tmp_path / "data.h5"), "--redis", redis_url)
    assert code == 0, output
    assert output.count(": complete") == sum(len(report.entries) for report in reports)
    assert "  " not in output  # neither findings nor notes


def test_the_report_in_the_file_counts_each_channel(saved: tuple[str, Path]) -> None:
    key, path = saved
    with h5py.File(path) as file:
        assert file["1.1/writer/data"].attrs["scan"] == key
        table = file["1.1/writer/data"][()]
        channels = [name.decode() for name in table["channel"]]
        assert "axis:robx" in channels
        assert len(set(channels)) == 7
        for name in ("published", "received", "on_disk"):
            assert table[name].tolist() == [11] * len(channels)
        for dataset in table["dataset"]:
            assert len(file[dataset]) == 11
    assert path.exists()


def test_points_that_are_missing_are_named_with_their_dataset(saved: tuple[str, Path]) -> None:
    _, path = saved
    with h5py.File(path, "a") as file:
        file[ROBX].resize((9,))
    code, output = tango_saver("verify", str(path.parent))
    assert code == 1
    assert f"{ROBX} has 9 points, 11 were reported" in output


def test_a_value_that_was_changed_is_found_as_long_as_redis_has_the_scan(
    saved: tuple[str, Path], redis_url: str
) -> None:
    _, path = saved
    with h5py.File(path, "a") as file:
        file[ROBX][4] = 77.0
    assert tango_saver("verify", str(path))[0] == 0
    code, output = tango_saver("verify", str(path), "--redis", redis_url)
    assert code == 1
    assert f"{ROBX}: 1 points differ" in output


def test_a_scan_whose_saving_was_interrupted_is_not_complete(saved: tuple[str, Path]) -> None:
    _, path = saved
    with h5py.File(path, "a") as file:
        del file["1.1/end_time"]
    code, output = tango_saver("verify", str(path))
    assert code == 1
    assert "has no end" in output


def test_points_that_redis_had_dropped_are_told_by_verify(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    (key,) = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, trim=4)
    saver = start_saver(listens=False)
    saver.conductor.save_scan(key)
    saver.reports([key])
    code, output = tango_saver("verify", str(tmp_path / "data.h5"))
    assert code == 1
    assert "axis:robx: points 0 to 3 were lost before" in output


def test_reports_of_the_first_days_are_read(saved: tuple[str, Path], redis_url: str) -> None:
    key, path = saved
    with h5py.File(path, "a") as file:
        table = file["1.1/writer/data"][()]
        del file["1.1/writer/data"]
        file["1.1/writer/data"] = "what went wrong"
        report = file.create_group("1.1/writer/report")
        report.attrs["NX_class"] = "NXcollection"
        report["scan"] = key
        report["channels"], report["datasets"] = table["channel"], table["dataset"]
        report["published"], report["received"] = table["published"], table["received"]
        report["on_disk"] = table["on_disk"]
    code, output = tango_saver("verify", str(path), "--redis", redis_url)
    assert (code, output.count(": complete")) == (0, 1), output
    code, output = tango_saver("save", key, "--redis", redis_url)
    assert (code, "has all of this scan" in output) == (0, True), output
    with h5py.File(path, "a") as file:
        row = table["channel"].tolist().index(b"axis:robx")
        file["1.1/writer/report/gaps"] = [[row, 2, 5]]
        file[ROBX].resize((9,))
    code, output = tango_saver("verify", str(path))
    assert code == 1
    assert "axis:robx: points 2 to 4 were lost before" in output
    assert f"{ROBX} has 9 points" in output


def test_files_of_others_are_said_to_have_no_report(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["1.1/title"] = "ascan"
    (tmp_path / "text.h5").write_text("no HDF5")
    assert tango_saver("verify", str(tmp_path / "other.h5"))[0] == 0
    code, output = tango_saver("verify", str(tmp_path))
    assert code == 1
    assert "has no report" in output
    assert "text.h5 cannot be opened" in output


def test_a_scan_in_redis_is_saved_to_any_file(saved: tuple[str, Path], redis_url: str) -> None:
    key, path = saved
    again = path.with_name("again.h5")
    code, output = tango_saver("save", key, "--to", str(again), "--redis", redis_url)
    assert code == 0, output
    assert "SAVED: 77 points" in output
    assert "complete" in output
    assert compare(GOLDEN / "ascan.h5", again, "ascan") == []


def test_saving_again_compares_with_what_is_on_disk_and_leaves_it(
    saved: tuple[str, Path], redis_url: str
) -> None:
    key, path = saved
    code, output = tango_saver("save", key, "--redis", redis_url)
    assert (code, output.count("\n")) == (0, 1), output
    assert "has all of this scan" in output
    with h5py.File(path, "a") as file:
        file[ROBX][4] = 77.0
    code, output = tango_saver("save", key, "--redis", redis_url)
    assert code == 0, output
    assert f"on disk: {ROBX}: 1 points differ" in output
    assert compare(GOLDEN / "ascan.h5", path.with_name("data_1.h5"), "ascan") == []
    with h5py.File(path) as file:
        assert file[ROBX][4] == 77.0
        assert file.get("1.1_2", getlink=True).filename == "data_1.h5"


def test_what_can_still_be_saved_is_listed(saved: tuple[str, Path], redis_url: str) -> None:
    key, path = saved
    code, output = tango_saver("save", "--redis", redis_url)
    assert code == 0
    assert output == f"{key}  test_session  1_ascan  {path}\n"
    assert tango_saver("save", "--redis", redis_url, "--session", "other") == (0, "")


def test_a_byte_that_was_changed_is_found_by_its_checksum(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(checksums=True)
    saver.reports(replay(recordings / "mca.json.gz", redis_url, tmp_path, speed=0))
    path = tmp_path / "data.h5"
    assert compare(GOLDEN / "mca.h5", path, "mca") == []
    code, output = tango_saver("verify", str(path))
    assert code == 0, output
    with h5py.File(path) as file:
        (entry,) = file
        names = file[f"{entry}/writer/data"]["dataset"]
        damaged = next(name for name in names if file[name].ndim > 1)
        place = file[damaged].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 3] ^= 1
    path.write_bytes(content)
    code, output = tango_saver("verify", str(path))
    assert code == 1
    assert f"{damaged.decode()} cannot be read" in output


def test_a_file_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    file = tmp_path / "none.h5"

    code, output = tango_saver("verify", str(file))

    assert code == 1
    assert output == f"{file}: NOT COMPLETE\n  there is no file {file}\n"
