"""Whoever could still prevent a loss of points is told in time."""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import pytest
import redis
from publishing import Publishing
from saving import RunningSaver, StartSaver, points_in, worker_of

from tango_saver.model.report import SavingState
from tango_saver.model.scan import ScanState
from tango_saver.model.status import SaverState

SPARED_S = 12.0


@pytest.fixture
def saver(start_saver: StartSaver) -> RunningSaver:
    """A saver that takes every point older than twelve seconds for one that may be dropped."""
    return start_saver(trim_age_s=SPARED_S, trim_memory_percent=0.0)


def test_without_a_limit_of_the_memory_nothing_can_be_lost(
    saver: RunningSaver, recordings: Path, redis_url: str, tmp_path: Path
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        limit = client.config_get("maxmemory")["maxmemory"]
        client.config_set("maxmemory", 0)
        try:
            publishing = Publishing(
                recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True
            )
            saver.wait_for(
                lambda status: points_in(status) == 77 and status.seconds_to_data_loss == math.inf
            )
            publishing.finish()
        finally:
            client.config_set("maxmemory", limit)


def test_saving_that_is_held_up_is_an_alarm_before_points_are_lost(
    saver: RunningSaver, recordings: Path, redis_url: str, tmp_path: Path
) -> None:
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    publishing.wait_for(ScanState.STOPPED)
    calm = saver.wait_for(
        lambda status: points_in(status) == 77 and status.seconds_to_data_loss < math.inf
    )
    assert calm.state is SaverState.RUNNING
    assert SPARED_S / 2 < calm.seconds_to_data_loss <= SPARED_S
    worker = psutil.Process(worker_of(tmp_path / "data.h5").pid)
    worker.suspend()
    try:
        alarm = saver.wait_for(lambda status: status.state is SaverState.ALARM)
    finally:
        worker.resume()
    assert 0 < alarm.seconds_to_data_loss <= SPARED_S / 2
    assert "1_ascan may lose points in" in alarm.status
    saver.wait_for(lambda status: status.state is SaverState.RUNNING)
    (report,) = saver.reports(publishing.finish())
    assert report.state is SavingState.SAVED
    saver.wait_for(lambda status: status.seconds_to_data_loss == math.inf)
