"""That a scan will not fit on its disk is said when it begins, and costs it nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from publishing import Publishing, changed_recording, each_document
from saving import StartSaver, points_in

from tango_saver.engine.disk_forecast import NO_ROOM, expected_bytes
from tango_saver.model.report import SavingState
from tango_saver.model.scan import ScanKey
from tango_saver.source.recording import RecordedSource

N_POINTS = 10**10


def longer(scan: dict[str, Any]) -> None:
    each_document(scan, lambda document: document["info"].update(npoints=N_POINTS))


def test_the_size_of_a_scan_is_that_of_all_its_points(recordings: Path) -> None:
    (scan,) = RecordedSource(recordings / "mca.json.gz").scans
    description = scan.opening
    assert description.n_points
    spectra = [name for name, channel in description.channels.items() if channel.shape]
    (name,) = spectra[:1]
    channel = description.channels[name]
    assert channel.dtype is not None
    (n_bins,) = channel.shape or ()
    assert n_bins
    expected = description.n_points * n_bins * channel.dtype.itemsize
    assert expected_bytes(description, [name]) == expected
    assert expected_bytes(description, ["unknown"]) == 0


def test_a_scan_without_a_length_has_no_size(recordings: Path) -> None:
    (scan,) = RecordedSource(recordings / "timescan_aborted.json.gz").scans
    assert expected_bytes(scan.opening, scan.opening.channels) == 0


@pytest.mark.parametrize(("change", "warned"), [(longer, True), (lambda _: None, False)])
def test_the_warning_is_there_while_the_scan_runs_and_in_its_report(
    change: Any,
    warned: bool,
    recordings: Path,
    redis_url: str,
    start_saver: StartSaver,
    tmp_path: Path,
) -> None:
    saver = start_saver()
    recording = changed_recording(recordings / "mca.json.gz", tmp_path / "recording", change)
    publishing = Publishing(recording, redis_url, tmp_path, speed=0, hold=True)
    status = saver.wait_for(points_in)
    (progress,) = status.running
    told = [sentence for sentence in progress.warnings if sentence.startswith(NO_ROOM)]
    assert bool(told) is warned
    assert all(f"{N_POINTS} points" in sentence for sentence in told)
    (report,) = saver.reports([ScanKey(key) for key in publishing.finish()])
    assert report.state is SavingState.SAVED
    assert [text for text in report.warnings if text.startswith(NO_ROOM)] == told
