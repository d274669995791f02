"""Scans whose files the session itself describes."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from file.compare import compare
from saving import StartSaver

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState

FILES = Path(__file__).parent.parent / "file"


@pytest.mark.parametrize("speed", [0, 3], ids=["flat_out", "three_times_faster"])
def test_a_map_of_every_item_becomes_the_files_that_it_describes(
    speed: float,
    recordings: Path,
    redis_url: str,
    start_saver: StartSaver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saver = start_saver(layout="auto")
    shutil.copytree(FILES / "files" / "h5maps", tmp_path / "ours")
    shutil.copytree(FILES / "files" / "h5maps", tmp_path / "golden")
    for name in ("h5maps", "h5maps-late"):
        shutil.copy(FILES / "golden" / f"{name}.h5", tmp_path / "golden")
    keys = replay(recordings / "h5maps.json.gz", redis_url, tmp_path / "ours", speed=speed)
    (report,) = saver.reports(keys)
    print(report)
    monkeypatch.chdir(tmp_path / "golden")
    ours = tmp_path / "ours"
    assert compare(tmp_path / "golden" / "h5maps.h5", ours / "data.h5", "h5maps") == []
    assert compare(tmp_path / "golden" / "h5maps-late.h5", ours / "late.h5", "h5maps") == []
    assert report.state is SavingState.SAVED
    assert sorted(path.name for path in ours.iterdir()) == ["data.h5", "late.h5", "scan0001"]


@pytest.mark.parametrize("speed", [0, 3], ids=["flat_out", "three_times_faster"])
def test_mapped_scans_of_real_bliss_become_the_file_that_its_writer_made(
    speed: float, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(layout="auto")
    keys = replay(recordings / "bliss24_mapping.json.gz", redis_url, tmp_path, speed=speed)
    reports = saver.reports(keys)
    assert [report.state for report in reports] == [SavingState.SAVED] * 2
    assert [report.warnings for report in reports] == [()] * 2
    golden = FILES / "golden" / "bliss24_mapping.h5"
    assert compare(golden, tmp_path / "data.h5", "bliss24_mapping") == []
