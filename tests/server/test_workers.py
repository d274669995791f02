"""Worker processes start under every kind of program, share the load, and leave no trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from publishing import Publishing
from saving import StartSaver, kill_holder, points_in, worker_of

from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState
from tango_saver.model.scan import ScanState

PROGRAM = """
import sys, threading
from tango_saver.engine.conductor import Conductor
from tango_saver.model.settings import SaverSettings

saved = threading.Event()
settings = SaverSettings(
    session="*", redis_url=sys.argv[1], state_directory=sys.argv[2], disk_warning_gb=0
)
conductor = Conductor(settings, lambda status: saved.set() if status.finished else None)
conductor.start()
print("listening", flush=True)
assert saved.wait(60)
(report,) = conductor.status().finished
conductor.shutdown(10)
print(report.state.value, report.points_saved, flush=True)
"""


@pytest.mark.parametrize("kind", ["command", "script"])
def test_workers_start_whatever_the_main_program_is(
    kind: str, recordings: Path, redis_url: str, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)  # without a guard: it must not run again in the workers
    start = ["-c", PROGRAM] if kind == "command" else [str(script)]
    command = [sys.executable, *start, redis_url, str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        replay(recordings / "ascan.json.gz", redis_url, tmp_path / "data", speed=0)
        assert process.stdout.readline() == "SAVED 77\n"
        assert process.wait(20) == 0


def test_workers_of_a_killed_server_flush_close_and_leave(
    recordings: Path, redis_url: str, tmp_path: Path, start_saver: StartSaver
) -> None:
    command = [sys.executable, "-c", PROGRAM, redis_url, str(tmp_path / "state1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        publishing = Publishing(
            recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True
        )
        publishing.wait_for(ScanState.STOPPED)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(family, 10)
        assert alive == []
    (key,) = publishing.finish()
    again = start_saver(listens=False)
    again.conductor.save_scan(key)
    (report,) = again.reports([key])
    assert report.state is SavingState.SAVED
    assert report.points_saved == 77


def test_shutdown_ends_all_workers(
    recordings: Path, redis_url: str, tmp_path: Path, start_saver: StartSaver
) -> None:
    saver = start_saver()
    saver.reports(replay(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0))
    workers = saver.worker_pids()
    assert workers
    assert saver.conductor.shutdown(10)
    assert saver.conductor.shutdown(10)
    assert not any(psutil.pid_exists(pid) for pid in workers)
    assert saver.conductor.status().workers == 0


def test_targets_get_a_worker_each_up_to_the_limit(
    recordings: Path, redis_url: str, tmp_path: Path, start_saver: StartSaver
) -> None:
    saver = start_saver(workers=2)
    held = []
    for number in range(3):
        held.append(
            Publishing(
                recordings / "ascan.json.gz", redis_url, tmp_path / str(number), speed=0, hold=True
            )
        )
        held[-1].wait_for(ScanState.STOPPED)
    saver.wait_for(lambda status: points_in(status) == 3 * 77)
    holders = {worker_of(tmp_path / str(number) / "data.h5").pid for number in range(3)}
    assert len(holders) == 2
    assert saver.conductor.status().workers == 2
    for publishing in held:
        assert saver.reports(publishing.finish())[0].state is SavingState.SAVED


def test_scans_that_share_a_worker_are_not_given_up_for_each_other(
    recordings: Path, redis_url: str, tmp_path: Path, start_saver: StartSaver
) -> None:
    saver = start_saver()
    held = [
        Publishing(
            recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True, number=number
        )
        for number in (1, 2)
    ]
    for deaths in range(4):
        saver.wait_for(
            lambda status, n=deaths: status.worker_restarts == n and points_in(status) == 2 * 77
        )
        kill_holder(tmp_path / "data.h5")
    for publishing in held:
        (report,) = saver.reports(publishing.finish())
        assert report.state is SavingState.SAVED
        assert report.points_saved == 77


def test_a_stalled_worker_stops_neither_commands_nor_other_targets(
    recordings: Path, redis_url: str, tmp_path: Path, start_saver: StartSaver
) -> None:
    saver = start_saver()
    stalled = Publishing(
        recordings / "ascan.json.gz", redis_url, tmp_path / "stalled", speed=0, hold=True
    )
    saver.wait_for(lambda status: points_in(status) == 77)
    worker = worker_of(tmp_path / "stalled" / "data.h5")
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        stalled.go_on()
        keys = replay(recordings / "ascan.json.gz", redis_url, tmp_path / "other", speed=0)
        assert saver.reports(keys)[0].state is SavingState.SAVED
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    assert saver.reports(stalled.finish())[0].state is SavingState.SAVED
