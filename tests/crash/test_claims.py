"""Two instances, as if on two hosts, save one session: each scan once, whatever becomes of one."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import psutil
import pytest
import redis
from crash.killing import Server, remembered, wait_for_reports, wait_until
from crash.live_scan import CHANNELS, LiveScan

from tango_saver.model.report import SavingState, ScanReport
from tango_saver.model.settings import SaverSettings

StartInstance = Callable[[str], Server]
TAKEN_OVER_S = 10.0


@pytest.fixture
def start(redis_url: str, tmp_path: Path) -> Iterator[StartInstance]:
    """Starts instances of one shared session; each with a memory of its own."""
    servers: list[Server] = []

    def started(name: str) -> Server:
        settings = SaverSettings(
            session="*",
            redis_url=redis_url,
            state_directory=str(tmp_path / f"state {name}"),
            disk_warning_gb=0.0,
            disk_minimum_gb=0.0,
            workers=2,
            shared_session=True,
        )
        servers.append(Server(settings))
        servers[-1].wait_until_it_listens()
        return servers[-1]

    yield started
    for server in servers:
        server.kill()  # a frozen process ends too


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


def reports_of(server: Server) -> dict[str, ScanReport]:
    return {report.key: report for report in remembered(server.settings).finished}


def holder(path: Path, *servers: Server) -> tuple[Server, Server, psutil.Process]:
    """The instance that has a file open to write, the other one, and the first one's worker."""
    found: list[tuple[Server, psutil.Process]] = []

    def is_found() -> bool:
        for server in servers:
            for process in server.family():
                try:
                    if any(Path(file.path) == path for file in process.open_files()):
                        found.append((server, process))
                except psutil.Error:
                    continue
        return bool(found)

    wait_until(is_found, 20, lambda: f"nobody has {path} open")
    first, process = found[0]
    (second,) = [server for server in servers if server is not first]
    return first, second, process


def points_in(path: Path, number: int) -> int:
    try:
        with h5py.File(path, "r", locking=False) as file:
            return len(file[f"{number}.1/measurement/epoch"])
    except (OSError, KeyError):
        return 0


def digest(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def is_whole(scan: LiveScan) -> None:
    """One entry, every point once, nothing left beside the file."""
    path = Path(scan.path)
    assert scan.saved_points() == dict.fromkeys(CHANNELS, scan.n_points)
    with h5py.File(path, "r", locking=False) as file:
        assert sorted(file) == [f"{scan.number}.1"]
        for channel in CHANNELS:
            assert len(file[f"{scan.number}.1/measurement/{channel}"]) == scan.n_points
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_of_twenty_scans_each_is_saved_once_and_both_instances_have_their_share(
    start: StartInstance, client: redis.Redis, tmp_path: Path
) -> None:
    servers = [start("a"), start("b")]
    scans = [
        LiveScan(client, tmp_path / "data" / f"{number}" / "scan.h5", n_points=20, rate_hz=20)
        for number in range(20)
    ]
    for scan in scans:
        scan.start().wait_for_points(3)
    keys = {scan.join().key for scan in scans}
    wait_until(lambda: set().union(*map(reports_of, servers)) >= keys, 40)
    shares = [reports_of(server) for server in servers]
    assert not set(shares[0]) & set(shares[1])
    assert all(share for share in shares)
    for report in [*shares[0].values(), *shares[1].values()]:
        assert report.state is SavingState.SAVED
        assert not report.warnings
    for scan in scans:
        is_whole(scan)


def test_scans_of_one_file_have_one_instance_at_a_time(
    start: StartInstance, client: redis.Redis, tmp_path: Path
) -> None:
    servers = [start("a"), start("b")]
    path = tmp_path / "data" / "scan.h5"
    scans = [LiveScan(client, path, n_points=20, rate_hz=20) for _ in range(6)]
    for scan in scans:
        scan.start()
    keys = {scan.join().key for scan in scans}
    wait_until(lambda: set().union(*map(reports_of, servers)) >= keys, 40)
    for scan in scans:
        assert scan.n_lost() == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["scan.h5"]


def test_a_killed_instance_is_taken_over(
    start: StartInstance, client: redis.Redis, tmp_path: Path
) -> None:
    servers = [start("a"), start("b")]
    scan = LiveScan(client, tmp_path / "data" / "scan.h5", n_points=150, rate_hz=50).start()
    path = Path(scan.path)
    wait_until(lambda: points_in(path, scan.number) > 5, 20)
    first, second, _ = holder(path, *servers)
    first.kill()
    (report,) = wait_for_reports(second.settings, [scan.join().key])
    assert report.state is SavingState.SAVED
    assert any("taken over" in warning for warning in report.warnings)
    is_whole(scan)


def test_a_frozen_instance_is_taken_over_and_writes_nothing_when_it_comes_back(
    start: StartInstance, client: redis.Redis, tmp_path: Path
) -> None:
    servers = [start("a"), start("b")]
    scan = LiveScan(client, tmp_path / "data" / "scan.h5", n_points=150, rate_hz=50).start()
    path = Path(scan.path)
    wait_until(lambda: points_in(path, scan.number) > 5, 20)
    first, second, worker = holder(path, *servers)
    frozen = first.family()
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    n_before = points_in(path, scan.number)
    wait_until(lambda: points_in(path, scan.number) > n_before, TAKEN_OVER_S)
    (report,) = wait_for_reports(second.settings, [scan.join().key])
    assert report.state is SavingState.SAVED
    is_whole(scan)
    before = digest(path.parent)
    for process in frozen:
        process.resume()
    (told,) = wait_for_reports(first.settings, [scan.key])
    assert told.state is SavingState.MOVED
    assert f"process {second.pid} has taken its saving over" in told.error
    worker.wait(20)
    assert digest(path.parent) == before


def test_an_instance_that_comes_back_in_mid_scan_leaves_it_to_the_other(
    start: StartInstance, client: redis.Redis, tmp_path: Path
) -> None:
    servers = [start("a"), start("b")]
    scan = LiveScan(client, tmp_path / "data" / "scan.h5", n_points=400, rate_hz=40).start()
    path = Path(scan.path)
    wait_until(lambda: points_in(path, scan.number) > 5, 20)
    first, second, _ = holder(path, *servers)
    frozen = first.family()
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    n_before = points_in(path, scan.number)
    wait_until(lambda: points_in(path, scan.number) > n_before, TAKEN_OVER_S)
    for process in frozen:
        process.resume()
    (told,) = wait_for_reports(first.settings, [scan.key])
    assert told.state is SavingState.MOVED
    (report,) = wait_for_reports(second.settings, [scan.join().key])
    assert report.state is SavingState.SAVED
    is_whole(scan)
    another = LiveScan(client, tmp_path / "more" / "scan.h5", n_points=5).start().join()
    wait_until(lambda: another.key in {**reports_of(first), **reports_of(second)}, 20)
    is_whole(another)
