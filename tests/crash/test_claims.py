"""Two instances, as if on two hosts, save one session: each scan once, whatever becomes of one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from crash.instances import (
    TAKEN_OVER_S,
    digest,
    holder,
    is_whole,
    n_points,
    reports_of,
    start_instance,
)
from crash.killing import Server, wait_for_reports, wait_until
from crash.live_scan import LiveScan

from tango_saver.model.report import SavingState

StartInstance = Callable[[str], Server]


@pytest.fixture
def start(redis_url: str, tmp_path: Path) -> Iterator[StartInstance]:
    """Starts instances of one shared session."""
    servers: list[Server] = []

    def started(name: str) -> Server:
        servers.append(start_instance(redis_url, tmp_path / f"state {name}"))
        return servers[-1]

    yield started
    for server in servers:
        server.kill()  # a frozen process ends too


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


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
    assert all(map(is_whole, scans))


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
    scan = LiveScan(client, tmp_path / "data" / "scan.h5").start()
    wait_until(lambda: n_points(scan) > 5, 20)
    first, second, _ = holder(Path(scan.path), *servers)
    first.kill()
    n_before = n_points(scan)
    wait_until(lambda: n_points(scan) > n_before, TAKEN_OVER_S)
    (report,) = wait_for_reports(second.settings, [scan.join().key])
    assert report.state is SavingState.SAVED
    assert any("taken over" in warning for warning in report.warnings)
    assert is_whole(scan)


def test_a_frozen_instance_is_taken_over_and_writes_nothing_when_it_comes_back(
    start: StartInstance, client: redis.Redis, tmp_path: Path
) -> None:
    servers = [start("a"), start("b")]
    scan = LiveScan(client, tmp_path / "data" / "scan.h5").start()
    wait_until(lambda: n_points(scan) > 5, 20)
    first, second, worker = holder(Path(scan.path), *servers)
    frozen = first.family()
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    n_before = n_points(scan)
    wait_until(lambda: n_points(scan) > n_before, TAKEN_OVER_S)
    (report,) = wait_for_reports(second.settings, [scan.join().key])
    assert report.state is SavingState.SAVED
    assert is_whole(scan)
    before = digest(Path(scan.path).parent)
    for process in frozen:
        process.resume()
    (told,) = wait_for_reports(first.settings, [scan.key])
    assert told.state is SavingState.MOVED
    assert f"process {second.pid} has taken its saving over" in told.error
    worker.wait(20)
    assert digest(Path(scan.path).parent) == before
