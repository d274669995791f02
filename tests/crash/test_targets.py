"""Whatever is wrong with a file, its scan is saved: there, later, or beside it."""

from __future__ import annotations

import contextlib
import getpass
import socket
import subprocess
from pathlib import Path

import h5py
import pytest
import redis
from disks import fill, holder
from file.compare import compare
from publishing import Publishing
from reading import SCALAR, HandMadeScan
from saving import RunningSaver, StartSaver, points_in

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState
from tango_saver.model.status import SaverState, SaverStatus

GOLDEN = Path(__file__).parent.parent / "file" / "golden"


def links_in(path: Path) -> dict[str, str]:
    with h5py.File(path, "r", locking=False) as file:
        links = {name: file.get(name, getlink=True) for name in file}
        return {
            name: f"{link.filename}::{link.path}"
            for name, link in links.items()
            if isinstance(link, h5py.ExternalLink)
        }


def wait_for_links(saver: RunningSaver, path: Path, names: list[str]) -> dict[str, str]:
    def are_there(_: SaverStatus) -> bool:
        with contextlib.suppress(OSError):  # the file is being made just now
            return sorted(links_in(path)) == names
        return False

    saver.wait_for(are_there)
    return links_in(path)


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_scan_whose_file_somebody_holds_goes_beside_it_and_is_linked_in_later(
    mode: str, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    source = recordings / "ascan.json.gz"
    saver.reports(replay(source, redis_url, tmp_path, speed=0))
    with holder(tmp_path / "data.h5", mode) as process:
        keys = replay(source, redis_url, tmp_path, speed=0, number=2)
        (report,) = saver.reports(keys)
        assert report.state is SavingState.SAVED
        assert report.target == str(tmp_path / "data_2.h5")
        said = " ".join(report.warnings)
        for part in (str(process.pid), getpass.getuser(), socket.gethostname(), "data_2.h5"):
            assert part in said
        status = saver.wait_for(lambda status: status.state is SaverState.ALARM)
        assert "data_2.h5 is to be linked into" in status.status
        assert str(process.pid) in status.status
    assert wait_for_links(saver, tmp_path / "data.h5", ["2.1"]) == {"2.1": "data_2.h5::/2.1"}
    saver.wait_for(lambda status: status.state is SaverState.ON)
    with h5py.File(tmp_path / "data.h5", "r") as file:
        assert sorted(file) == ["1.1", "2.1"]
        assert len(file["2.1/measurement/robx"]) == 11
    (third,) = saver.reports(replay(source, redis_url, tmp_path, speed=0, number=3))
    assert third.target == str(tmp_path / "data.h5")


def test_links_that_are_missing_are_made_after_a_restart(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    source = recordings / "ascan.json.gz"
    saver.reports(replay(source, redis_url, tmp_path, speed=0))
    with holder(tmp_path / "data.h5", "r"):
        saver.reports(replay(source, redis_url, tmp_path, speed=0, number=2))
        saver.conductor.shutdown(10)
    again = start_saver(listens=False)
    wait_for_links(again, tmp_path / "data.h5", ["2.1"])


def test_an_entry_that_exists_is_not_touched_and_the_scan_is_saved_beside_it(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    source = recordings / "ascan.json.gz"
    saver.reports(replay(source, redis_url, tmp_path, speed=0))
    with h5py.File(tmp_path / "data.h5", "a") as file:
        file["1.1/mine"] = "do not lose this"
    targets = []
    for _ in range(2):
        (report,) = saver.reports(replay(source, redis_url, tmp_path, speed=0))
        assert report.state is SavingState.SAVED
        targets.append(Path(report.target).name)
    assert targets == ["data_1.h5", "data_1_2.h5"]
    assert wait_for_links(saver, tmp_path / "data.h5", ["1.1_2", "1.1_3"]) == {
        "1.1_2": "data_1.h5::/1.1",
        "1.1_3": "data_1_2.h5::/1.1",
    }
    for name in ("data.h5", *targets):
        assert compare(GOLDEN / "ascan.h5", tmp_path / name, "ascan") == []
    with h5py.File(tmp_path / "data.h5") as file:
        assert file["1.1/mine"].asstr()[()] == "do not lose this"


def test_a_scan_that_is_saved_already_is_not_saved_twice(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0)
    (first,) = saver.reports(keys)
    assert (first.state, first.warnings) == (SavingState.SAVED, ())
    saver.conductor.save_scan(keys[0])
    status = saver.wait_for(lambda status: len(status.finished) == 2)
    again = status.finished[0]
    assert again.state is SavingState.SAVED
    assert (again.channels, again.entries) == (first.channels, first.entries)
    assert "saved completely before" in " ".join(again.warnings)
    assert [path.name for path in tmp_path.glob("*.h5")] == ["data.h5"]


def test_a_file_that_is_no_hdf5_stays_as_it_is_and_the_scan_goes_beside_it(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    (tmp_path / "data.h5").write_text("the only copy of my notes")
    saver = start_saver()
    (report,) = saver.reports(replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0))
    assert report.state is SavingState.SAVED
    assert (tmp_path / "data.h5").read_text() == "the only copy of my notes"
    assert compare(GOLDEN / "ascan.h5", tmp_path / "data_1.h5", "ascan") == []
    saver.wait_for(lambda status: "not linked into its file" in status.status)


def test_a_file_that_is_removed_in_mid_scan_is_made_again_whole(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    publishing = Publishing(recordings / "mca.json.gz", redis_url, tmp_path, speed=0.02)
    saver.wait_for(lambda status: points_in(status) > 0)
    (target,) = tmp_path.glob("*.h5")
    target.unlink()
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    assert compare(GOLDEN / "mca.h5", target, "mca") == []


def test_a_disk_that_is_full_in_mid_scan_costs_no_point(
    recordings: Path, redis_url: str, start_saver: StartSaver, small_disk: Path
) -> None:
    saver = start_saver(disk_minimum_gb=0.0)
    publishing = Publishing(
        recordings / "mca.json.gz", redis_url, small_disk, speed=0.02, file="data.h5"
    )
    saver.wait_for(lambda status: points_in(status) > 0)
    filler = fill(small_disk)
    status = saver.wait_for(lambda status: "goes on when it can be written" in status.status)
    assert status.state is SaverState.ALARM
    filler.unlink()
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    assert compare(GOLDEN / "mca.h5", small_disk / "data.h5", "mca") == []
    (after,) = saver.reports(
        replay(recordings / "ascan.json.gz", redis_url, small_disk, speed=0, file="data.h5")
    )
    assert after.state is SavingState.SAVED


def test_a_disk_that_stays_full_is_left_for_the_next_root_and_linked_when_it_is_back(
    recordings: Path, redis_url: str, start_saver: StartSaver, small_disk: Path, tmp_path: Path
) -> None:
    reserve = tmp_path / "reserve"
    saver = start_saver(disk_minimum_gb=0.0, fallback_roots=(str(reserve),))
    filler = fill(small_disk)
    (report,) = saver.reports(replay(recordings / "ascan.json.gz", redis_url, small_disk, speed=0))
    there = reserve / (small_disk / "data.h5").relative_to("/")
    assert report.state is SavingState.SAVED
    assert report.target == str(there)
    assert "GB are free" in " ".join(report.warnings)
    assert compare(GOLDEN / "ascan.h5", there, "ascan") == []
    filler.unlink()
    saver.wait_for(lambda _: (small_disk / "data.h5").exists())
    links = wait_for_links(saver, small_disk / "data.h5", ["1.1"])
    assert links == {"1.1": f"{there}::/1.1"}


def test_a_file_system_that_goes_in_mid_scan_is_waited_for(
    redis_url: str, start_saver: StartSaver, small_disk: Path
) -> None:
    saver = start_saver(disk_minimum_gb=0.0)
    target = small_disk / "data.h5"
    with redis.Redis.from_url(redis_url) as client:
        scan = HandMadeScan(client, {"c": SCALAR})
        scan.document["id"]["path"] = str(target)
        scan.document["info"]["data_writer"] = "nexus"
        scan.announce(0, 1, 2)
        scan.send("c", 0, range(5))
        saver.wait_for(lambda status: points_in(status) == 5, 60)
        away = small_disk.with_name("elsewhere")
        away.mkdir()
        subprocess.run(["mount", "--move", str(small_disk), str(away)], check=True)
        scan.send("c", 5, range(5, 8))
        status = saver.wait_for(
            lambda status: "is not mounted" in status.status or list(small_disk.iterdir())
        )
        assert list(small_disk.iterdir()) == []  # nothing is made where the file system belongs
        assert status.state is SaverState.ALARM
        assert "data.h5" in status.status
        subprocess.run(["mount", "--move", str(away), str(small_disk)], check=True)
        scan.send("c", 8, range(8, 10))
        scan.seal()
        scan.announce(3, 4)
    (report,) = saver.reports([scan.key])
    assert report.state is SavingState.SAVED
    assert report.target == str(target)
    with h5py.File(target, "r") as file:
        assert list(file[f"{scan.document['id']['number']}.1/measurement/c"]) == list(range(10))


def test_a_scan_refused_for_a_read_only_file_system_is_saved_when_it_can_be(
    recordings: Path, redis_url: str, start_saver: StartSaver, small_disk: Path
) -> None:
    saver = start_saver(disk_minimum_gb=0.0)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    keys = replay(recordings / "ascan.json.gz", redis_url, small_disk, speed=0)
    (report,) = saver.reports(keys)
    assert report.state is SavingState.FAILED
    assert "may not be written" in report.error
    assert "1 scan waits" in saver.wait_for(lambda status: status.alarms).status
    saver.conductor.shutdown(10)
    again = start_saver(disk_minimum_gb=0.0)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    again.wait_for(lambda status: status.finished[0].state is SavingState.SAVED)
    assert compare(GOLDEN / "ascan.h5", small_disk / "data.h5", "ascan") == []
