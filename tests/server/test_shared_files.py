"""Master files and data files that get links to scans saved elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
from file.compare import compare
from publishing import Publishing, changed_recording, each_document
from saving import StartSaver
from waiting import wait_until

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState

GOLDEN = Path(__file__).parent.parent / "file" / "golden"
RAW = "visitor/hg123/id00/20261101/RAW_DATA"
PROPOSAL = f"{RAW}/hg123_id00.h5"
LINKS = {"sampleA_area1_1.1", "sampleA_area2_1.1"}


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Somebody else has the file open for writing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "a"):
        yield


def names(path: Path) -> set[str]:
    try:
        with h5py.File(path, "r", locking=False) as file:
            return set(file)
    except (OSError, KeyError, RuntimeError):  # it is being written just now
        return set()


def test_a_master_that_somebody_holds_costs_no_scan_and_gets_its_links_later(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    master = tmp_path / PROPOSAL
    with held(master):
        keys = replay(recordings / "esrf_policy.json.gz", redis_url, tmp_path, speed=0)
        reports = saver.reports(keys)
        assert {report.state for report in reports} == {SavingState.SAVED}
        for report in reports:
            (sentence,) = report.warnings
            assert sentence.startswith(f"{master} gets its link to this scan when it is free")
            with h5py.File(report.target) as file:
                assert sentence in file["1.1/writer/description"].asstr()[()]
                assert file["1.1/writer/status"][()] == b"SUCCEEDED"
        assert names(tmp_path / RAW / "sampleA/hg123_sampleA.h5") == LINKS
    wait_until(lambda: names(master) == LINKS)


def test_a_master_that_cannot_be_written_costs_its_links_alone(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    master = tmp_path / PROPOSAL
    master.parent.mkdir(parents=True)
    master.write_text("this is no HDF5")
    reports = saver.reports(
        replay(recordings / "esrf_policy.json.gz", redis_url, tmp_path, speed=0)
    )
    for report in reports:
        assert report.state is SavingState.SAVED
        (sentence,) = report.warnings
        assert sentence.startswith(f"{master} gets no link to this scan")
    assert master.read_text() == "this is no HDF5"


def test_a_master_outside_the_allowed_roots_is_not_touched(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(allowed_roots=(str(tmp_path / RAW / "sampleA"),))
    reports = saver.reports(
        replay(recordings / "esrf_policy.json.gz", redis_url, tmp_path, speed=0)
    )
    for report in reports:
        assert report.state is SavingState.SAVED
        assert "outside the allowed roots" in "".join(report.warnings)
    assert not (tmp_path / PROPOSAL).exists()
    assert names(tmp_path / RAW / "sampleA/hg123_sampleA.h5") == LINKS


def test_links_lead_to_the_scans_after_the_folder_was_moved(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    for name in ("esrf_policy", "separate_files"):
        saver.reports(replay(recordings / f"{name}.json.gz", redis_url, tmp_path / "a", speed=0))
    shutil.move(tmp_path / "a", tmp_path / "b")
    for place, entry in ((PROPOSAL, "sampleA_area2_1.1"), ("data.h5", "4.1")):
        with h5py.File(tmp_path / "b" / place) as file:
            assert len(file[f"{entry}/measurement/diode"]) > 0


def test_a_scan_with_a_file_of_its_own_is_seen_in_the_data_file_from_its_start(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    source = recordings / "separate_files.json.gz"
    publishing = Publishing(source, redis_url, tmp_path, speed=0, hold=True)
    wait_until(lambda: "4.1" in names(tmp_path / "data.h5"))
    with h5py.File(tmp_path / "data.h5", "r", locking=False) as file:
        assert "end_time" not in file["4.1"]
    saver.reports(publishing.finish())


def test_an_entry_of_the_data_file_is_never_replaced_by_a_link(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["4.1/title"] = "an older scan"
    reports = saver.reports(
        replay(recordings / "separate_files.json.gz", redis_url, tmp_path, speed=0)
    )
    assert reports[0].warnings == (f"{tmp_path}/data.h5 has something else called 4.1 already",)
    assert reports[0].state is SavingState.SAVED
    with h5py.File(tmp_path / "data.h5") as file:
        assert file["4.1/title"][()] == b"an older scan"
        assert "title" in file["5.1"]
    separate = "scan0004/bliss_master.h5"
    assert compare(GOLDEN / "separate_files" / separate, tmp_path / separate) == []


def test_scans_of_one_data_file_with_and_without_a_file_of_their_own_can_overlap(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    source = recordings / "ascan.json.gz"
    publishing = Publishing(source, redis_url, tmp_path, speed=0, number=1, hold=True)
    wait_until(lambda: names(tmp_path / "data.h5"))
    keys = replay(recordings / "separate_files.json.gz", redis_url, tmp_path, speed=0)
    assert {report.state for report in saver.reports(keys)} == {SavingState.SAVED}
    saver.reports(publishing.finish())
    wait_until(lambda: names(tmp_path / "data.h5") == {"1.1", "4.1", "5.1"})


@pytest.mark.parametrize("masters", [7, ["x"], {"proposal": 3}, {"proposal": "relative.h5"}])
def test_masters_that_make_no_sense_are_left_aside(
    masters: object, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    def change(scan: dict[str, object]) -> None:
        each_document(scan, lambda doc: doc["info"]["nexuswriter"].update(masterfiles=masters))

    source = changed_recording(recordings / "ascan.json.gz", tmp_path / "in", change)
    (report,) = start_saver().reports(replay(source, redis_url, tmp_path, speed=0))
    assert report.state is SavingState.SAVED
