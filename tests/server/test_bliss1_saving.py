"""Scans of BLISS 1 through the whole saver, in bad times."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import redis
from bliss1_payloads import RECORDINGS
from saving import StartSaver
from waiting import wait_until

from tango_saver.demo.publisher_bliss1 import replay_bliss1
from tango_saver.model.report import SavingState


@pytest.fixture
def bliss1_redis(redis_url: str) -> redis.Redis:
    """A Redis that no BLISS has used."""
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    return client


def recording(name: str) -> Path:
    return RECORDINGS / f"{name}.jsonl.gz"


@pytest.mark.parametrize("layout", ["example", "nexus"])
def test_a_session_that_died_leaves_a_clean_closed_file(
    layout: str, bliss1_redis: redis.Redis, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    del bliss1_redis
    saver = start_saver(bliss="1", layout=layout, publisher_timeout_s=1.0)
    keys = replay_bliss1(recording("nexus_ascan"), redis_url, tmp_path, speed=0, stop_before=0.15)
    (report,) = saver.reports(keys)
    assert report.end_reason == "PUBLISHER_LOST"
    with h5py.File(report.target, "r+") as file:
        (entry,) = file.values()
        assert entry["end_reason"].asstr()[()] == "PUBLISHER_LOST"
        assert entry["end_time"].asstr()[()]


def test_what_redis_had_dropped_before_it_was_saved_is_a_gap_in_the_file(
    bliss1_redis: redis.Redis, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    (key,) = replay_bliss1(recording("timescan"), redis_url, tmp_path, speed=0)
    name = "simulation_diode_sampling_controller:diode"
    node = f"{key}:timer:{name}"
    bliss1_redis.xtrim(f"{node}_data", minid="8-0", approximate=False)
    saver = start_saver(bliss="1", listens=False)
    saver.conductor.save_scan(key)
    (report,) = saver.reports([key])
    (channel,) = (c for c in report.channels if c.name == name)
    assert [(gap.first, gap.stop) for gap in channel.gaps] == [(0, 7)]
    assert (channel.published, channel.on_disk) == (18, 11)
    with h5py.File(report.target) as file:
        values = file[f"1_timescan/measurement/{name}"][()]
        assert np.isnan(values).tolist() == [True] * 7 + [False] * 11
        assert "dropped by Redis" in file["1_timescan/writer/description"].asstr()[()]


def test_a_scan_whose_channels_have_expired_says_so(
    bliss1_redis: redis.Redis, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    (key,) = replay_bliss1(recording("ascan"), redis_url, tmp_path, speed=0)
    bliss1_redis.delete(*bliss1_redis.keys(f"{key}:*"))
    saver = start_saver(bliss="1", listens=False)
    saver.conductor.save_scan(key)
    (report,) = saver.reports([key])
    assert report.state is SavingState.FAILED
    assert "ten minutes" in " ".join(report.warnings)


def test_the_saver_finds_out_that_it_is_bliss_1(
    bliss1_redis: redis.Redis, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    del bliss1_redis
    saver = start_saver()
    keys = replay_bliss1(recording("ascan"), redis_url, tmp_path, speed=0)
    keys += replay_bliss1(recording("nexus_ascan"), redis_url, tmp_path, speed=0)
    first, second = saver.reports(keys)
    assert (first.entries, second.entries) == (("1_ascan",), ("1.1",))


def test_a_number_that_the_file_has_already_touches_nothing(
    bliss1_redis: redis.Redis, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(bliss="1")
    keys = replay_bliss1(recording("ascan"), redis_url, tmp_path, speed=0)
    (first,) = saver.reports(keys)
    before = entry_as_read(first.target)
    bliss1_redis.flushall()
    (again,) = replay_bliss1(recording("ascan"), redis_url, tmp_path, speed=0, session="other")
    (second,) = saver.reports([again])
    assert second.state is SavingState.SAVED
    assert second.target != first.target

    def is_as_before() -> bool:
        # The second scan is linked into the file just now: one reading may catch it half done.
        with contextlib.suppress(KeyError, OSError, RuntimeError):
            return entry_as_read(first.target) == before
        return False

    wait_until(is_as_before)


def entry_as_read(target: str) -> dict[str, bytes]:
    """Every channel of the scan, byte by byte."""
    found: dict[str, bytes] = {}

    def take(name: str, item: h5py.Group | h5py.Dataset) -> None:
        found[name] = np.asarray(item[()]).tobytes() if isinstance(item, h5py.Dataset) else b""

    with h5py.File(target, "r", locking=False) as file:
        file["1_ascan/measurement"].visititems(take)
    return found


def test_a_hostile_field_costs_nobody_elses_scan(
    bliss1_redis: redis.Redis, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(bliss="1")
    trap = tmp_path / "trap"
    key = "bad:1_bad"
    bliss1_redis.hset(key, mapping={"node_type": "scan", "name": "1_bad", "version": "v1.1"})
    info = {
        "save": True,
        "filename": str(tmp_path / "bad.h5"),
        "data_writer": "nexus",
        "title": _Trap(trap),
        "npoints": 2**80,
        "channels": [1, 2],
        "acquisition_chain": "no chain",
        "positioners": {"positioners_start": {"m": _Trap(trap)}},
        "scan_meta_categories": ["../up", "title", 7],
    }
    bliss1_redis.hset(f"{key}_info", mapping={k: pickle.dumps(v) for k, v in info.items()})
    bliss1_redis.hset("bad", mapping={"node_type": "container", "name": "bad", "version": "v1.1"})
    bliss1_redis.xadd("bad_children_list", {"__EVENT__": "NEW_NODE", "db_name": key})
    bliss1_redis.xadd(f"{key}_prepared", {"__EVENT__": "PREPARED_SCAN"})
    bliss1_redis.xadd(f"{key}_end", {"__EVENT__": "END_SCAN", "__EXCEPTION__": pickle.dumps("")})
    keys = replay_bliss1(recording("ascan"), redis_url, tmp_path, speed=0)
    bad, good = saver.reports([key, *keys])
    assert good.state is SavingState.SAVED
    assert bad.state is SavingState.SAVED
    assert not trap.exists()


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)
