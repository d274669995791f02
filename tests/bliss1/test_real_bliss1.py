"""Scans of real BLISS 1.11.4, saved by us beside the file that BLISS itself makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from bliss1.beamline import SESSION, Beamline
from file.compare import compare
from saving import RunningSaver, StartSaver

from tango_saver.model.report import SavingState, ScanReport
from tango_saver.model.status import SaverState

pytestmark = [pytest.mark.bliss, pytest.mark.timeout(300)]

N_SAVED = {
    "step_scan": 1, "spectra": 1, "two_top_masters": 1, "endless_scan": 1, "samples": 1,
    "sequence": 3, "group": 2,
}  # fmt: skip
"""Scans that are saved, sub-scans among them."""


@pytest.fixture
def saver(beamline: Beamline, start_saver: StartSaver) -> RunningSaver:
    """Listens to the session, which may not have made any scan yet."""
    saver = start_saver(bliss="1", session=SESSION, redis_url=beamline.redis_url)
    saver.wait_for(lambda status: status.state is SaverState.ON)
    return saver


def reports(saver: RunningSaver, n_scans: int) -> list[ScanReport]:
    status = saver.wait_for(lambda s: len(s.finished) >= n_scans and not s.running)
    return list(status.finished)


@pytest.mark.parametrize("name", N_SAVED)
def test_all_that_bliss_saves_itself_is_in_our_file_too(
    name: str, beamline: Beamline, saver: RunningSaver, tmp_path: Path
) -> None:
    scan = beamline.run(name, tmp_path / "data")
    found = reports(saver, N_SAVED[name])
    assert len(found) == N_SAVED[name]
    assert {report.state for report in found} == {SavingState.SAVED}
    for report in found:
        assert [c for c in report.channels if c.on_disk != c.published] == []
    ours = scan.file.with_stem(f"{scan.file.stem}_external")
    assert compare(scan.file, ours, f"bliss1/real_{name}/example") == []


def test_a_scan_that_its_user_aborts_says_so(
    beamline: Beamline, saver: RunningSaver, tmp_path: Path
) -> None:
    scan = beamline.run("endless_scan", tmp_path / "data")
    (report,) = reports(saver, 1)
    assert scan.state == "USER_ABORTED"
    assert report.end_reason == "USER_ABORT"


def test_the_layout_nexus_takes_real_scans(
    beamline: Beamline, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(session=SESSION, redis_url=beamline.redis_url, bliss="1", layout="nexus")
    saver.wait_for(lambda status: status.state is SaverState.ON)
    beamline.run("two_top_masters", tmp_path / "data")
    (report,) = reports(saver, 1)
    assert report.state is SavingState.SAVED
    assert report.entries == ("1.1", "1.2")
