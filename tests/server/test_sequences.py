"""Sequences lead to their sub-scans, wherever those are, and name those that have no entry."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import redis
from file.test_nexus_layout import dangling_links
from saving import StartSaver
from waiting import wait_until

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState, ScanReport

Change = Callable[[list[dict[str, Any]]], None]


def changed(recordings: Path, folder: Path, change: Change) -> Path:
    """The recorded sequence with other scans in it."""
    with gzip.open(recordings / "sequence.json.gz", "rt") as file:
        content = json.load(file)
    change(content["scans"])
    path = folder / "changed.json.gz"
    with gzip.open(path, "wt") as file:
        json.dump(content, file)
    return path


def infos(scan: dict[str, Any]) -> list[dict[str, Any]]:
    return [item["doc"]["info"] for item in scan["docs"]]


def sequence_report(reports: list[ScanReport]) -> ScanReport:
    return next(report for report in reports if report.name == "my_sequence")


def test_a_sequence_has_the_numbers_of_its_scans_and_links_to_them(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    keys = replay(recordings / "sequence.json.gz", redis_url, tmp_path, speed=0)
    reports = saver.reports(keys)
    assert {report.state for report in reports} == {SavingState.SAVED}
    assert sequence_report(reports).warnings == ()
    with h5py.File(tmp_path / "data.h5") as file:
        entry = file["15.1"]
        assert list(entry["measurement/scan_numbers"]) == [16, 17, 18]
        assert entry["scans"].attrs["NX_class"] == "NXcollection"
        links = {name: entry["scans"].get(name, getlink=True) for name in entry["scans"]}
        assert {name: link.path for name, link in links.items()} == {
            "16.1": "/16.1",
            "17.1": "/17.1",
            "18.1": "/18.1",
        }
        assert dangling_links(file) == []
        assert entry["scans/17.1/title"][()] == b"ascan robx 0.000000 1.000000 4 0.01"
    (counted,) = (c for c in sequence_report(reports).channels if c.name == "SUBSCANS")
    assert (counted.published, counted.received, counted.on_disk) == (3, 3, 3)


def test_links_appear_while_the_sequence_runs(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    def endless(scans: list[dict[str, Any]]) -> None:
        for change in scans[0]["states"]:
            change["t"] += 1e6 * (change["state"] >= 3)
        scans[0]["states"] = [change for change in scans[0]["states"] if change["state"] < 3]

    saver = start_saver()
    source = changed(recordings, tmp_path, endless)
    keys = replay(source, redis_url, tmp_path, speed=0)
    saver.reports(keys[1:])

    def linked() -> bool:
        try:
            with h5py.File(tmp_path / "data.h5", "r", locking=False) as file:
                return "18.1" in file["15.1/scans"]
        except (OSError, KeyError):
            return False

    wait_until(linked)
    assert saver.wait_for(lambda status: len(status.running) == 1)


def test_scans_in_other_files_are_linked_relatively(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    def elsewhere(scans: list[dict[str, Any]]) -> None:
        for item in scans[2]["docs"]:
            item["doc"]["id"]["path"] = "@ROOT@/next/other.h5"
            item["doc"]["info"]["filename"] = "@ROOT@/next/other.h5"

    saver = start_saver()
    data = tmp_path / "data"
    source = changed(recordings, tmp_path, elsewhere)
    saver.reports(replay(source, redis_url, data, speed=0))
    moved = tmp_path / "moved"
    shutil.move(data, moved)
    with h5py.File(moved / "data.h5") as file:
        link = file["15.1/scans"].get("17.1", getlink=True)
        assert (link.filename, link.path) == ("next/other.h5", "/17.1")
        assert file["15.1/scans/17.1/title"][()].startswith(b"ascan")
        assert set(file) == {"15.1", "16.1", "18.1"}, "numbers stay free for scans of this file"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"save": False}, "the session does not save it"),
        ({"data_writer": "null"}, "it is left to the writer 'null'"),
    ],
)
def test_a_scan_that_is_not_saved_is_named_with_the_reason(
    change: dict[str, Any],
    reason: str,
    recordings: Path,
    redis_url: str,
    start_saver: StartSaver,
    tmp_path: Path,
) -> None:
    def unsaved(scans: list[dict[str, Any]]) -> None:
        for info in infos(scans[1]):
            info.update(change)

    saver = start_saver()
    keys = replay(changed(recordings, tmp_path, unsaved), redis_url, tmp_path, speed=0)
    reports = saver.reports([keys[0], *keys[2:]])
    sentence = f"sub-scan 16_loopscan is not linked: {reason}"
    assert sentence in sequence_report(reports).warnings
    assert sequence_report(reports).state is SavingState.SAVED
    with h5py.File(tmp_path / "data.h5") as file:
        entry = file["15.1"]
        assert list(entry["measurement/scan_numbers"]) == [16, 17, 18]
        assert set(entry["scans"]) == {"17.1", "18.1", "not_linked"}
        assert list(entry["scans/not_linked"].asstr()) == [sentence]
        assert sentence in entry["writer/description"].asstr()[()]
        assert dangling_links(file) == []


def test_a_scan_that_failed_in_preparing_is_linked_to_its_entry(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    def fails(scans: list[dict[str, Any]]) -> None:
        scan = scans[1]
        scan["states"] = [change for change in scan["states"] if change["state"] in (0, 4)]
        scan["docs"] = [item for item in scan["docs"] if item["state"] in (0, 4)]
        scan["entries"] = []
        for item in scan["docs"]:
            item["doc"]["data_streams"] = {}
        infos(scan)[-1]["end_reason"] = "FAILURE"

    saver = start_saver()
    saver.reports(replay(changed(recordings, tmp_path, fails), redis_url, tmp_path, speed=0))
    with h5py.File(tmp_path / "data.h5") as file:
        assert file["15.1/scans/16.1/end_reason"][()] == b"FAILURE"


def test_a_scan_that_is_gone_from_redis_is_named(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(listens=False)
    keys = replay(recordings / "sequence.json.gz", redis_url, tmp_path, speed=0)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(keys[2])
    saver.conductor.save_scan(keys[0])
    (report,) = saver.reports(keys[:1])
    gone = "sub-scan 17 is not linked: it is not in Redis any more"
    assert gone in report.warnings
    # Those that nobody saves are waited for, then named.
    missing = f"sub-scan 16_loopscan is not linked: {tmp_path}/data.h5 has no entry of it"
    assert missing in report.warnings
    with h5py.File(tmp_path / "data.h5") as file:
        assert set(file["15.1/scans"]) == {"not_linked"}
        assert dangling_links(file) == []
