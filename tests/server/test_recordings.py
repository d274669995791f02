"""Recorded BLISS scans, published again, become the files that BLISS's own writer made."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from functools import partial
from pathlib import Path

import h5py
import pytest
from file.compare import compare, extras
from file.intended_differences import is_added
from saving import StartSaver
from waiting import wait_until

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState

GOLDEN = Path(__file__).parent.parent / "file" / "golden"
SAVED = (
    "a2scan_pseudo", "amesh", "ascan", "ct_saved", "ct_unsaved", "dtypes", "long_flat",
    "esrf_policy", "lookupscan", "loopscan_modes", "mca", "metadata", "no_data", "options",
    "parallel", "plots", "plotselect", "positioners_move", "prepare_fails", "quick200", "samples",
    "scan_raises", "separate_files", "sequence", "stepper_and_timer", "timescan_aborted",
    "two_timers", "uneven",
)  # fmt: skip


def golden_files(recording: str) -> dict[str, Path]:
    """Where each golden file belongs below the data folder."""
    folder = GOLDEN / recording
    if folder.is_dir():
        return {str(path.relative_to(folder)): path for path in folder.rglob("*.h5")}
    (golden,) = GOLDEN.glob(f"{recording}.h5*")
    return {"data.h5": golden}


def entries(file: Path) -> set[str]:
    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    with h5py.File(io.BytesIO(data), "r") as opened:
        return set(opened)


def saved_scans(recording: Path, keys: list[str]) -> list[str]:
    """Those of the keys whose scans the session wanted in a file."""
    with gzip.open(recording, "rt") as file:
        scans = json.load(file)["scans"]
    return [
        key for key, scan in zip(keys, scans, strict=True) if scan["docs"][0]["doc"]["info"]["save"]
    ]


def is_equal(golden: Path, ours: Path, recording: str) -> bool:
    with contextlib.suppress(OSError, KeyError, RuntimeError):  # it is being written just now
        return compare(golden, ours, recording) == []
    return False


@pytest.mark.parametrize("speed", [0, 1], ids=["flat_out", "as_recorded"])
@pytest.mark.parametrize("recording", SAVED)
def test_a_recorded_scan_becomes_the_file_that_bliss_made(
    recording: str,
    speed: float,
    recordings: Path,
    redis_url: str,
    start_saver: StartSaver,
    tmp_path: Path,
) -> None:
    saver = start_saver()
    source = recordings / f"{recording}.json.gz"
    keys = replay(source, redis_url, tmp_path, speed=speed, writer="nexus", file="data.h5")
    reports = saver.reports(saved_scans(source, keys))
    assert {report.state for report in reports} == {SavingState.SAVED}
    for report in reports:
        assert [c for c in report.channels if c.on_disk != c.published] == []
    for place, golden in golden_files(recording).items():
        ours = tmp_path / place
        with contextlib.suppress(pytest.fail.Exception):
            # Links in the files that scans of several files share may come a little later.
            wait_until(partial(is_equal, golden, ours, recording))
        assert compare(golden, ours, recording) == [], place
        assert entries(ours) == entries(golden)
        assert [path for path in extras(golden, ours) if not is_added(recording, path)] == []
    assert {report.target for report in reports} <= {
        str(tmp_path / place) for place in golden_files(recording)
    }
    assert {path.suffix for path in tmp_path.rglob("*") if "state" not in path.parts} <= {"", ".h5"}


@pytest.mark.parametrize("speed", [0, 1], ids=["flat_out", "as_recorded"])
def test_a_session_that_was_killed_leaves_a_clean_closed_file(
    speed: float, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(publisher_timeout_s=1.0)
    source = recordings / "killed.json.gz"
    keys = replay(source, redis_url, tmp_path, speed=speed, writer="nexus", file="data.h5")
    (report,) = saver.reports(keys)
    assert report.end_reason == "PUBLISHER_LOST"
    assert compare(GOLDEN / "killed.h5", tmp_path / "data.h5", "killed") == []
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        (entry,) = file.values()
        assert entry["end_time"][()]
