"""The saver dies, or comes late; the session dies."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys

from crash.fault_runs import Faults, Ground, wait
from crash.killing import Server, wait_for_reports
from saving import kill_holder, points_in

from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState

faults = Faults("The saver or the session dies")


def _started(ground: Ground) -> tuple[Server, SaverSettings]:
    settings = ground.settings()
    server = Server(settings)
    server.wait_until_it_listens()
    return server, settings


@faults("worker process killed (SIGKILL) in mid-scan")
def worker_killed(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan().start()
    saver.wait_for(lambda status: points_in(status) > 100)
    kill_holder(ground.folder / "data" / "data.h5")
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("whole server killed (SIGKILL) in mid-scan, started again 1 s later")
def server_killed(ground: Ground) -> None:
    server, settings = _started(ground)
    scan = ground.scan().start()
    scan.wait_for_points(60)
    server.kill()
    wait(1)
    with Server(settings) as again:
        again.wait_until_it_listens()
        scan.join()
        (report,) = wait_for_reports(settings, [scan.key])
        ground.note_report(report, scan)
    ground.next_scans(ground.saver())


@faults("whole server killed in mid-scan, started again after the scan")
def server_late(ground: Ground) -> None:
    server, settings = _started(ground)
    scan = ground.scan().start()
    scan.wait_for_points(60)
    server.kill()
    scan.join()
    with Server(settings) as again:
        again.wait_until_it_listens()
        (report,) = wait_for_reports(settings, [scan.key])
        ground.note_report(report, scan)
    ground.next_scans(ground.saver())


@faults("scan begun and ended while the server was down")
def scan_missed(ground: Ground) -> None:
    ground.saver().conductor.shutdown(10)
    scan = ground.scan(n_points=20).start().join()
    saver = ground.saver()
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("scan running when the server is started again")
def scan_running(ground: Ground) -> None:
    ground.saver().conductor.shutdown(10)
    scan = ground.scan().start()
    scan.wait_for_points(50)
    saver = ground.saver()
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("scan over before the saver is started for the first time: `SaveScan`")
def saved_on_demand(ground: Ground) -> None:
    scan = ground.scan(n_points=20).start().join()
    saver = ground.saver()
    saver.conductor.save_scan(scan.key)
    ground.judge(saver, scan)
    ground.next_scans(saver)


def _ended(ground: Ground, number: int) -> None:
    settings = ground.settings()
    with subprocess.Popen(
        [
            sys.executable, "-c", "from tango_saver.cli import main; main()", "serve",
            "--redis", settings.redis_url, "--session", "*",
            "--state-directory", settings.state_directory,
        ],
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        while "ready" not in process.stderr.readline():
            pass
        scan = ground.scan().start()
        scan.wait_for_points(60)
        process.send_signal(number)
        ground.note.states = f"the process ended with code {process.wait(60)}"
    scan.join()
    (report,) = wait_for_reports(settings, [scan.key])
    ground.note_report(report, scan)
    ground.next_scans(ground.saver())


@faults("SIGTERM in mid-scan")
def terminated(ground: Ground) -> None:
    _ended(ground, signal.SIGTERM)


@faults("SIGINT (Ctrl-C) in mid-scan")
def interrupted(ground: Ground) -> None:
    _ended(ground, signal.SIGINT)


@faults("publisher dies, scan never closed (`publisher_timeout` 3 s here)")
def publisher_dies(ground: Ground) -> None:
    saver = ground.saver(publisher_timeout_s=3.0)
    scan = ground.scan(n_points=60).start(closes=False)
    scan.join()
    ground.keep_words(saver.wait_for(lambda status: status.running and status.running[0].notice))
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("publisher pauses for 7 s (beam loss) and goes on (`publisher_timeout` 8 s here)")
def publisher_pauses(ground: Ground) -> None:
    saver = ground.saver(publisher_timeout_s=8.0)
    scan = ground.scan(n_points=2, rate_hz=1 / 7).start()
    ground.keep_words(saver.wait_for(lambda status: status.running and status.running[0].notice))
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("40 scans whose publishers died, then a good one")
def many_dead(ground: Ground) -> None:
    saver = ground.saver()
    dead = [ground.scan(f"dead{n}.h5", n_points=2).start(closes=False) for n in range(40)]
    saver.wait_for(lambda status: len(status.running) == len(dead) and points_in(status) >= 400)
    scan = ground.scan(n_points=20).start()
    ground.judge(saver, scan)
    ground.next_scans(saver)
    for other in dead:
        with contextlib.suppress(Exception):
            saver.conductor.stop_scan(other.key)
    saver.reports([other.key for other in dead])
    ground.note.n_lost += sum(other.n_lost() for other in dead)


@faults("100 scans at once, each into its own file")
def hundred(ground: Ground) -> None:
    saver = ground.saver()
    scans = [
        ground.scan(f"s{n}.h5", n_points=40, rate_hz=4.0).start() for n in range(100)
    ]  # fmt: skip
    saver.wait_for(lambda status: len(status.running) == len(scans), 60)
    short = ground.scan("short.h5", n_points=5).start().join()
    saver.reports([short.key])
    ground.judge(saver, scans[-1])
    for scan in scans:
        scan.join()
    saver.reports([scan.key for scan in scans], 120)
    ground.note.n_lost = sum(scan.n_lost() for scan in (*scans, short))
    ground.note.said = "a short scan in between is saved at once"
    assert saver.conductor.status().state is SaverState.ON
    ground.next_scans(saver)
