"""Scans are saved whatever happens around them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import redis
from file.compare import compare
from publishing import Publishing
from saving import StartSaver, kill_holder, points_in, worker_of

from tango_saver.demo.publisher import published_channels, replay
from tango_saver.demo.redis_server import RedisServer, prepare_database
from tango_saver.model.report import Gap, SavingState
from tango_saver.model.scan import ScanState
from tango_saver.model.status import SaverState

GOLDEN = Path(__file__).parent.parent / "file" / "golden"


def test_points_are_visible_while_the_scan_runs(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    publishing.wait_for(ScanState.STOPPED)
    status = saver.wait_for(lambda status: points_in(status) == 77)
    assert status.state is SaverState.RUNNING
    assert status.current_scan == "1_ascan"
    assert "77 of 77 points" in status.status
    with h5py.File(tmp_path / "data.h5", "r", locking=False) as file:
        assert len(file["1.1/measurement/robx"]) == 11
        assert "end_time" not in file["1.1"]
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    assert saver.states() == [SaverState.ON, SaverState.RUNNING, SaverState.ON]


@pytest.mark.parametrize(("recording", "speed"), [("mca", 0.05), ("samples", 0.1)])
def test_a_killed_worker_is_replaced_and_its_scan_saved_once_and_completely(
    recording: str,
    speed: float,
    recordings: Path,
    redis_url: str,
    start_saver: StartSaver,
    tmp_path: Path,
) -> None:
    saver = start_saver()
    publishing = Publishing(
        recordings / f"{recording}.json.gz", redis_url, tmp_path, speed=speed, file="data.h5"
    )
    saver.wait_for(lambda status: points_in(status) > 0)
    os.kill(worker_of(tmp_path / "data.h5").pid, signal.SIGKILL)
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    assert saver.conductor.status().worker_restarts == 1
    assert [c for c in report.channels if not c.published == c.received == c.on_disk] == []
    assert compare(GOLDEN / f"{recording}.h5", tmp_path / "data.h5", recording) == []


def test_a_file_that_a_crash_has_damaged_is_set_aside_and_the_scan_saved_anew(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    saver.wait_for(lambda status: points_in(status) == 77)
    worker = worker_of(tmp_path / "data.h5")
    worker.suspend()
    with (tmp_path / "data.h5").open("r+b") as file:
        file.write(bytes(4096))
    worker.kill()
    saver.wait_for(lambda status: status.worker_restarts == 1 and points_in(status) == 77)
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    (aside,) = tmp_path.glob("data.h5.damaged-*")
    assert any(aside.name in warning for warning in report.warnings)
    assert compare(GOLDEN / "ascan.h5", tmp_path / "data.h5", "ascan") == []


def test_a_scan_that_kills_its_worker_three_times_is_given_up(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    for deaths in range(3):
        saver.wait_for(
            lambda status, n=deaths: status.worker_restarts == n and points_in(status) == 77
        )
        kill_holder(tmp_path / "data.h5")
    (report,) = saver.reports(publishing.keys)
    assert report.state is SavingState.FAILED
    assert "3 worker processes died" in report.error
    publishing.finish()
    (again,) = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "next", speed=0)
    assert saver.reports([again])[0].state is SavingState.SAVED


def test_a_scan_whose_publisher_vanished_gets_an_end_with_all_its_points(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(publisher_timeout_s=1.0)
    keys = replay(
        recordings / "killed.json.gz", redis_url, tmp_path, speed=0, stop_at=ScanState.STARTED
    )
    (report,) = saver.reports(keys)
    assert report.end_reason == "PUBLISHER_LOST"
    assert compare(GOLDEN / "killed.h5", Path(report.target), "killed") == []
    with h5py.File(report.target, "r") as file:
        assert file["232.1/end_reason"].asstr()[()] == "PUBLISHER_LOST"
        assert file["232.1/end_time"].asstr()[()]


def test_a_scan_that_pauses_is_spoken_of_without_alarm_and_goes_on(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(publisher_timeout_s=8.0)
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    status = saver.wait_for(lambda status: status.running and status.running[0].notice)
    assert status.state is SaverState.RUNNING
    assert "nothing was published since" in status.status
    assert "StopScan ends it" in status.status
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    assert report.warnings == ()
    assert compare(GOLDEN / "ascan.h5", tmp_path / "data.h5", "ascan") == []


def test_dropped_points_are_a_gap_in_file_report_and_state(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    source = recordings / "ascan.json.gz"
    (key,) = replay(source, redis_url, tmp_path, speed=0, trim=4)
    saver = start_saver(listens=False)
    saver.conductor.save_scan(key)
    (report,) = saver.reports([key])
    assert {channel.gaps for channel in report.channels} == {(Gap(0, 4),)}
    assert {channel.on_disk for channel in report.channels} == {7}
    assert report.state is SavingState.SAVED
    status = saver.wait_for(lambda status: status.points_lost == 4 * 7)
    assert any("lost 28 points" in sentence for sentence in status.alarms)
    published = {c.name: c.values for c in published_channels(source)}["axis:robx"]
    with h5py.File(report.target, "r") as file:
        saved = file["1.1/measurement/robx"][()]
    assert np.isnan(saved[:4]).all()
    np.testing.assert_array_equal(saved[4:], published[4:])


def test_stop_finishes_the_running_scan_and_takes_no_other(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    publishing = Publishing(
        recordings / "ascan.json.gz", redis_url, tmp_path / "first", speed=0, hold=True
    )
    saver.wait_for(lambda status: points_in(status) == 77)
    saver.conductor.stop()
    assert saver.conductor.status().state is SaverState.MOVING
    replay(recordings / "ascan.json.gz", redis_url, tmp_path / "late", speed=0)
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    saver.wait_for(lambda status: status.state is SaverState.OFF)
    assert not (tmp_path / "late").exists()
    assert saver.states() == [
        SaverState.ON, SaverState.RUNNING, SaverState.MOVING, SaverState.OFF,
    ]  # fmt: skip


def test_a_scan_created_right_after_start_or_right_before_stop_is_taken(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(listens=False)
    for number in range(1, 6):
        saver.conductor.start()
        publishing = Publishing(
            recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, number=number
        )
        publishing.wait_for(ScanState.PREPARED)
        saver.conductor.stop()
        (report,) = saver.reports(publishing.finish())
        assert report.state is SavingState.SAVED


def test_scans_of_other_sessions_and_writers_are_left_alone(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(session="mine", data_writers=("external",))
    source = recordings / "ascan.json.gz"
    options = {"speed": 0.0}
    replay(source, redis_url, tmp_path / "1", session="yours", writer="external", **options)
    replay(source, redis_url, tmp_path / "2", session="mine", writer="internal", **options)
    (key,) = replay(source, redis_url, tmp_path / "3", session="mine", writer="external", **options)
    saver.reports([key])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name in "123") == ["3"]


def test_saving_on_demand_needs_no_listening_and_happens_once(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    (key,) = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0)
    saver = start_saver(listens=False)
    saver.conductor.save_scan(key)
    saver.conductor.save_scan(key)
    (report,) = saver.reports([key])
    assert report.state is SavingState.SAVED
    saver.wait_for(lambda status: status.state is SaverState.OFF)
    assert saver.conductor.status().scans_saved == 1
    assert saver.conductor.status().scans_failed == 0


def test_an_unknown_scan_on_demand_is_a_failed_report(start_saver: StartSaver) -> None:
    saver = start_saver(listens=False)
    saver.conductor.save_scan("esrf:scan:NOWHERE")
    (report,) = saver.reports(["esrf:scan:NOWHERE"])
    assert report.state is SavingState.FAILED
    assert "NOWHERE" in saver.conductor.status().last_error


@pytest.mark.parametrize("by_label", [False, True])
def test_stopping_one_scan_ends_its_file_with_what_there_is(
    by_label: bool, recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    saver.wait_for(lambda status: points_in(status) == 77)
    saver.conductor.stop_scan("1_ascan" if by_label else publishing.keys[0])
    (report,) = saver.reports(publishing.keys)
    assert report.end_reason == "SAVING_STOPPED"
    assert report.points_saved == 77
    publishing.finish()
    with h5py.File(report.target, "r") as file:
        assert file["1.1/end_reason"].asstr()[()] == "SAVING_STOPPED"


def test_scans_in_parallel_share_their_file_and_their_worker(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    held = []
    for number in (1, 2, 3):
        held.append(
            Publishing(
                recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True, number=number
            )
        )
        held[-1].wait_for(ScanState.CREATED)
    saver.wait_for(lambda status: points_in(status) == 3 * 77)
    worker_of(tmp_path / "data.h5")
    for publishing in held:
        assert saver.reports(publishing.finish())[0].state is SavingState.SAVED
    with h5py.File(tmp_path / "data.h5", "r") as file:
        assert sorted(file) == ["1.1", "2.1", "3.1"]
        assert file.attrs["default"] == "3.1"


def test_a_hundred_scans_at_once_are_all_live(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    held = [
        Publishing(recordings / "ascan.json.gz", redis_url, tmp_path / str(n), speed=0, hold=True)
        for n in range(100)
    ]
    saver.wait_for(lambda status: [scan.points_saved for scan in status.running] == [77] * 100, 60)
    for n in range(100):
        with h5py.File(tmp_path / str(n) / "data.h5", "r", locking=False) as file:
            assert len(file["1.1/measurement/robx"]) == 11
    for publishing in held:
        publishing.go_on()
    keys = [key for publishing in held for key in publishing.finish()]
    assert {report.state for report in saver.reports(keys)} == {SavingState.SAVED}


def test_redis_that_goes_away_and_comes_back_costs_no_point(
    recordings: Path, redis_url: str, redis_server: RedisServer, start_saver: StartSaver,
    tmp_path: Path,
) -> None:  # fmt: skip
    saver = start_saver(redis_timeout_s=1.0)
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    saver.wait_for(lambda status: points_in(status) == 77)
    server = psutil.Process(redis_server.pid)
    server.suspend()
    try:
        status = saver.wait_for(
            lambda status: status.state is SaverState.ALARM and status.running[0].error
        )
        assert "does not answer since" in status.status
    finally:
        server.resume()
    saver.wait_for(lambda status: status.state is SaverState.RUNNING and not status.alarms)
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    assert compare(GOLDEN / "ascan.h5", Path(report.target), "ascan") == []


def test_a_scan_from_before_stop_is_taken_although_redis_was_away_at_stop(
    recordings: Path, redis_url: str, redis_server: RedisServer, start_saver: StartSaver,
    tmp_path: Path,
) -> None:  # fmt: skip
    saver = start_saver(redis_timeout_s=0.5)
    server = psutil.Process(redis_server.pid)
    server.suspend()
    try:
        saver.wait_for(lambda status: status.state is SaverState.ALARM)
        server.resume()
        (key,) = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0)
        server.suspend()
        saver.conductor.stop()
        time.sleep(1.0)
    finally:
        server.resume()
    (report,) = saver.reports([key])
    assert report.state is SavingState.SAVED
    saver.wait_for(lambda status: status.state is SaverState.OFF)


def test_an_empty_redis_is_a_fault_that_ends_when_bliss_has_prepared_it(
    recordings: Path, start_saver: StartSaver, tmp_path: Path
) -> None:
    with RedisServer(tmp_path / "other") as server:
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
            client.function_flush()
        saver = start_saver(redis_url=server.url)
        status = saver.wait_for(lambda status: status.state is SaverState.FAULT)
        assert "_PROTOCOL_VERSION_" in status.status
        _prepare(server.url)
        saver.wait_for(lambda status: status.state is SaverState.ON)
        keys = replay(recordings / "ascan.json.gz", server.url, tmp_path / "data", speed=0)
        assert saver.reports(keys)[0].state is SavingState.SAVED
        saver.close()


def _prepare(url: str) -> None:
    with redis.Redis.from_url(url) as client, contextlib.suppress(redis.ResponseError):
        client.execute_command("FT.DROPINDEX", "esrf:scan:index")
    prepare_database(url)


def test_scans_that_follow_a_saver_that_ended_at_once_are_saved_by_the_next(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    start_saver().conductor.shutdown(10)
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0)
    (report,) = start_saver().reports(keys)
    assert report.state is SavingState.SAVED


def test_last_file_and_reports_survive_a_restart(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0)
    saver.reports(keys)
    assert saver.conductor.shutdown(10)
    again = start_saver(listens=False)
    assert again.conductor.status().last_file == str(tmp_path / "data.h5")
    assert [report.key for report in again.conductor.status().finished] == keys


def test_a_state_directory_that_cannot_be_written_is_a_warning_only(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    (tmp_path / "a_file").write_text("in the way")
    saver = start_saver(state_directory=str(tmp_path / "a_file" / "state"))
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0)
    assert saver.reports(keys)[0].state is SavingState.SAVED
    status = saver.wait_for(lambda status: status.alarms)
    assert "state_directory" in status.alarms[0]


def test_shutdown_in_mid_scan_leaves_a_journal_that_the_next_saver_goes_on_from(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    saver.wait_for(lambda status: points_in(status) == 77)
    assert not saver.conductor.shutdown(0)
    assert not saver.conductor.shutdown(0)
    assert saver.conductor.status().state is SaverState.OFF
    (key,) = publishing.finish()
    again = start_saver(listens=False)
    again.conductor.save_scan(key)
    (report,) = again.reports([key])
    assert report.state is SavingState.SAVED
    assert compare(GOLDEN / "ascan.h5", tmp_path / "data.h5", "ascan") == []


def test_a_disk_below_the_minimum_refuses_scans_and_below_the_warning_raises_an_alarm(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    full = start_saver(disk_minimum_gb=1e9, state_directory=str(tmp_path / "1"))
    low = start_saver(disk_warning_gb=1e9, state_directory=str(tmp_path / "2"))
    low.conductor.stop()
    low.wait_for(lambda status: status.state is SaverState.OFF)
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "a", speed=0)
    (report,) = full.reports(keys)
    assert report.state is SavingState.FAILED
    assert "free" in report.error
    assert not (tmp_path / "a").exists()
    full.close()
    low.conductor.start()
    keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "b", speed=0)
    assert low.reports(keys)[0].state is SavingState.SAVED
    status = low.wait_for(lambda status: status.state is SaverState.ALARM)
    assert "GB are free" in status.status
