"""A saver that is killed as a whole and started again has lost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest
import redis
from crash.killing import Server, remembered, wait_for_reports, wait_until
from file.compare import compare
from publishing import Publishing
from saving import StartSaver, points_in, worker_of

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState
from tango_saver.model.scan import ScanState
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState

GOLDEN = Path(__file__).parent.parent / "file" / "golden"


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> SaverSettings:
    return SaverSettings(
        session="*",
        redis_url=redis_url,
        state_directory=str(tmp_path / "state"),
        disk_warning_gb=0.0,
        disk_minimum_gb=0.0,
    )


@pytest.fixture
def start(settings: SaverSettings) -> Iterator[Callable[[], Server]]:
    """Starts savers that listen."""
    servers: list[Server] = []

    def started() -> Server:
        servers.append(Server(settings))
        servers[-1].wait_until_it_listens()
        return servers[-1]

    yield started
    for server in servers:
        server.kill()


def visible_points(path: Path, entry: str) -> int:
    try:
        with h5py.File(path, "r", locking=False) as file:
            return len(file[f"{entry}/measurement/robx"])
    except (OSError, KeyError):
        return 0


@pytest.mark.parametrize("workers_too", [True, False])
@pytest.mark.parametrize("closed_meanwhile", [True, False])
def test_a_scan_that_was_being_saved_is_finished(
    workers_too: bool,
    closed_meanwhile: bool,
    recordings: Path,
    settings: SaverSettings,
    start: Callable[[], Server],
    tmp_path: Path,
) -> None:
    server = start()
    earlier = replay(recordings / "mca.json.gz", settings.redis_url, tmp_path, speed=0, file="a.h5")
    wait_for_reports(settings, earlier)
    before = (tmp_path / "a.h5").read_bytes()
    publishing = Publishing(
        recordings / "ascan.json.gz", settings.redis_url, tmp_path, speed=0, hold=True
    )
    wait_until(lambda: visible_points(tmp_path / "data.h5", "1.1") == 11, 30)
    server.kill(workers_too=workers_too)
    if closed_meanwhile:
        publishing.finish()
    start()
    keys = publishing.finish()
    (report,) = wait_for_reports(settings, keys)
    assert report.state is SavingState.SAVED
    assert all(c.published == c.received == c.on_disk for c in report.channels)
    assert compare(GOLDEN / "ascan.h5", tmp_path / "data.h5", "ascan") == []
    assert (tmp_path / "a.h5").read_bytes() == before
    assert not list(tmp_path.glob(".*.journal"))
    assert remembered(settings).running == ()


def test_scans_of_the_time_without_saver_are_found_and_saved(
    recordings: Path, settings: SaverSettings, start: Callable[[], Server], tmp_path: Path
) -> None:
    source = recordings / "ascan.json.gz"
    ignored = replay(source, settings.redis_url, tmp_path / "before", speed=0)
    server = start()
    wait_until(lambda: remembered(settings).listening, 10)
    server.kill()
    over = [
        *replay(source, settings.redis_url, tmp_path / "over", speed=0),
        *replay(source, settings.redis_url, tmp_path / "over", speed=0, number=2),
    ]
    running = Publishing(source, settings.redis_url, tmp_path / "running", speed=0, hold=True)
    running.wait_for(ScanState.STOPPED)
    start()
    for report in wait_for_reports(settings, [*over, *running.finish()]):
        assert report.state is SavingState.SAVED
        assert report.points_saved == 77
    assert compare(GOLDEN / "ascan.h5", tmp_path / "running" / "data.h5", "ascan") == []
    assert ignored[0] not in {report.key for report in remembered(settings).finished}
    assert not (tmp_path / "before").exists()


def test_after_an_orderly_end_of_the_server_the_next_one_goes_on_too(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    publishing = Publishing(
        recordings / "ascan.json.gz", redis_url, tmp_path / "1", speed=0, hold=True
    )
    saver.wait_for(lambda status: status.running and status.running[0].points_saved == 77)
    assert not saver.conductor.shutdown(0)
    meanwhile = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "2", speed=0)
    again = start_saver()
    for report in again.reports([*publishing.finish(), *meanwhile]):
        assert report.state is SavingState.SAVED
        assert report.points_saved == 77


def test_after_stop_nothing_is_caught_up(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    saver.conductor.stop()
    saver.conductor.shutdown(10)
    replay(recordings / "ascan.json.gz", redis_url, tmp_path / "1", speed=0)
    again = start_saver()
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "2", speed=0)
    again.reports(keys)
    assert not (tmp_path / "1").exists()


def damage_entry(path: Path, entry: str) -> None:
    """Overwrite where HDF5 keeps what an entry is."""
    with h5py.File(path, "r", locking=False) as file:
        address = h5py.h5o.get_info(file[entry].id).addr
    with path.open("r+b") as raw:
        raw.seek(address)
        raw.write(b"\xff" * 64)


def test_of_a_damaged_file_what_can_be_read_is_kept_and_the_rest_saved_anew(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    source = recordings / "ascan.json.gz"
    saver.reports(replay(source, redis_url, tmp_path, speed=0))
    with h5py.File(tmp_path / "data.h5", "a") as file:
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/7.1")
    publishing = Publishing(source, redis_url, tmp_path, speed=0, hold=True, number=2)
    saver.wait_for(lambda status: points_in(status) == 77)
    worker = worker_of(tmp_path / "data.h5")
    worker.suspend()
    damage_entry(tmp_path / "data.h5", "2.1")
    before = (tmp_path / "data.h5").read_bytes()
    worker.kill()
    saver.wait_for(lambda status: status.worker_restarts == 1 and points_in(status) == 77)
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    (aside,) = tmp_path.glob("data.h5.damaged-*")
    assert aside.read_bytes() == before
    (said,) = [warning for warning in report.warnings if aside.name in warning]
    assert "copied from it was 1.1, elsewhere; could not be read: 2.1" in said
    differences = compare(GOLDEN / "ascan.h5", tmp_path / "data.h5", "ascan")
    assert differences == ["/@default: value '2.1', not '1.1'"]
    with h5py.File(tmp_path / "data.h5") as file:
        assert sorted(file) == ["1.1", "2.1", "elsewhere"]
        assert len(file["2.1/measurement/robx"]) == 11


def test_a_scan_that_redis_has_no_more_after_a_restart_gets_an_honest_end(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    saver.wait_for(lambda status: points_in(status) == 77)
    saver.conductor.shutdown(0)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(*publishing.keys)
    again = start_saver(listens=False)
    (report,) = again.reports(publishing.keys)
    publishing.finish()
    assert report.state is SavingState.FAILED
    assert "not in Redis any more" in report.error
    assert report.end_reason == "DELETION"
    assert {channel.on_disk for channel in report.channels} == {11}
    assert not list(tmp_path.glob(".*.journal"))
    with h5py.File(tmp_path / "data.h5") as file:
        assert len(file["1.1/measurement/robx"]) == 11
        assert file["1.1/end_reason"].asstr()[()] == "DELETION"
        assert file["1.1/writer/status"].asstr()[()] == "FAILED"
        assert "not in Redis any more" in file["1.1/writer/description"].asstr()[()]
        assert "end_time" in file["1.1"]


def test_a_history_that_does_not_reach_back_far_enough_is_spoken_of(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    source = recordings / "ascan.json.gz"
    saver.reports(replay(source, redis_url, tmp_path / "1", speed=0))
    saver.conductor.shutdown(10)
    for folder in ("2", "3"):
        keys = replay(source, redis_url, tmp_path / folder, speed=0)
    with redis.Redis.from_url(redis_url) as client:
        client.xtrim("_SCAN_HISTORY_", maxlen=1, approximate=False)
    again = start_saver()
    assert again.reports(keys)[0].state is SavingState.SAVED
    status = again.wait_for(lambda status: status.state is SaverState.ALARM)
    assert "history of scans" in status.status
