"""A reader of BLISS 1 scans keeps the contract of ``ScanReader``."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from bliss1_payloads import RECORDINGS

from tango_saver.demo.publisher_bliss1 import replay_bliss1
from tango_saver.demo.redis_server import RedisServer
from tango_saver.errors import DocumentError, ScanNotFoundError
from tango_saver.model.records import (
    ChannelEnded,
    ChannelFailed,
    FramesReferenced,
    GapFound,
    PointsArrived,
    Record,
    ScanClosed,
    ScanOpened,
    SubscanAnnounced,
)
from tango_saver.model.scan import ScanKey
from tango_saver.source.base import ScanReader
from tango_saver.source.bliss1 import Bliss1Reader

GOLDEN = Path(__file__).parent.parent / "file" / "golden_bliss1"
NAMES = tuple(sorted(path.name.removesuffix(".jsonl.gz") for path in RECORDINGS.iterdir()))
ENDS = {"DONE": "SUCCESS", "USER_ABORTED": "USER_ABORT", "KILLED": "FAILURE"}


@pytest.fixture
def plain_url(redis_server: RedisServer) -> str:
    """URL of an empty database that no BLISS has used."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


def published(name: str, url: str, root: Path, **how: Any) -> list[str]:
    return replay_bliss1(RECORDINGS / f"{name}.jsonl.gz", url, root, speed=0, **how)


def expected(name: str) -> list[dict[str, Any]]:
    with gzip.open(GOLDEN / name / "expected.json.gz") as file:
        scans: list[dict[str, Any]] = json.load(file)["scans"]
    return scans


def records_of(reader: ScanReader, limit_s: float = 20.0) -> list[Record]:
    """Everything up to the end of the scan."""
    found: list[Record] = []
    deadline = time.monotonic() + limit_s
    while not found or not isinstance(found[-1], ScanClosed):
        assert time.monotonic() < deadline, f"no end after {found[-3:]}"
        found += reader.read(0.5)
    reader.close()
    return found


def all_records(url: str, key: str, positions: dict[str, int] | None = None) -> list[Record]:
    return records_of(Bliss1Reader(url, ScanKey(key), positions=positions))


def rows_of(records: list[Record], channel: str) -> list[Any]:
    return [
        row
        for record in records
        if isinstance(record, PointsArrived) and record.channel == channel
        for row in record.points.values
    ]


def digest(rows: list[Any]) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(row).tobytes() for row in rows)).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_every_point_of_a_recording_comes_in_order_and_before_the_end(
    name: str, plain_url: str, tmp_path: Path
) -> None:
    published(name, plain_url, tmp_path)
    for scan in expected(name)[:20]:
        records = all_records(plain_url, scan["db_name"])
        assert isinstance(records[0], ScanOpened)
        assert not any(isinstance(record, ChannelFailed | GapFound) for record in records)
        closed = records[-1]
        assert isinstance(closed, ScanClosed)
        assert closed.description.end_reason == ENDS[scan["state"]]
        positions: dict[str, int] = {}
        for record in records:
            if isinstance(record, PointsArrived):
                assert record.first == positions.get(record.channel, 0)
                positions[record.channel] = record.first + len(record.points)
        for channel in scan["channels"]:
            check_channel(channel, records)


def check_channel(channel: dict[str, Any], records: list[Record]) -> None:
    name = channel["name"]
    if channel["node_type"] == "channel":
        assert digest(rows_of(records, name)) == channel["sha256_of_rows"]
        assert ChannelEnded(name, channel["npoints"]) in records
    elif channel["node_type"] == "node_ref_channel":
        keys = [r.key for r in records if isinstance(r, SubscanAnnounced)]
        assert keys == channel["values"]
    else:
        (*_, last) = (r for r in records if isinstance(r, FramesReferenced))
        assert last.status["last_index_saved"] == channel["ready_max"]


@pytest.mark.parametrize("name", ["ascan", "mca", "blocks", "timescan"])
@pytest.mark.parametrize("position", [1, 3, 5, 9])
def test_reading_goes_on_from_any_point(
    name: str, position: int, plain_url: str, tmp_path: Path
) -> None:
    (key,) = published(name, plain_url, tmp_path)
    whole = all_records(plain_url, key)
    opened = whole[0]
    assert isinstance(opened, ScanOpened)
    lengths = {channel: len(rows_of(whole, channel)) for channel in opened.description.channels}
    wanted = {channel: min(position, length) for channel, length in lengths.items()}
    rest = all_records(plain_url, key, wanted)
    for channel, length in lengths.items():
        begin = wanted[channel]
        assert digest(rows_of(rest, channel)) == digest(rows_of(whole, channel)[begin:])
        assert ChannelEnded(channel, length) in rest


def test_what_redis_dropped_is_an_exact_gap(plain_url: str, tmp_path: Path) -> None:
    (key,) = published("timescan", plain_url, tmp_path)
    (scan,) = expected("timescan")
    channel = scan["channels"][0]
    with redis.Redis.from_url(plain_url) as client:
        client.xtrim(f"{channel['db_name']}_data", minid="8-0", approximate=False)
    records = all_records(plain_url, key)
    gaps = [record for record in records if isinstance(record, GapFound)]
    assert gaps == [GapFound(channel["name"], 0, 7)]
    assert len(rows_of(records, channel["name"])) == channel["npoints"] - 7
    assert ChannelEnded(channel["name"], channel["npoints"]) in records


def test_channels_that_expired_are_failures_of_the_channels(plain_url: str, tmp_path: Path) -> None:
    (key,) = published("ascan", plain_url, tmp_path)
    with redis.Redis.from_url(plain_url) as client:
        client.delete(*client.keys(f"{key}:*"))
    records = all_records(plain_url, key)
    failed = {record.channel for record in records if isinstance(record, ChannelFailed)}
    assert failed == {channel["name"] for channel in expected("ascan")[0]["channels"]}


def test_a_stream_that_vanished_is_a_failure_of_its_channel(plain_url: str, tmp_path: Path) -> None:
    (key,) = published("ascan", plain_url, tmp_path)
    channel = expected("ascan")[0]["channels"][0]
    with redis.Redis.from_url(plain_url) as client:
        client.delete(f"{channel['db_name']}_data")
    failed = [r for r in all_records(plain_url, key) if isinstance(r, ChannelFailed)]
    assert [record.channel for record in failed] == [channel["name"]]


@pytest.mark.parametrize(
    "poison",
    [
        {"__EVENT__": "CHANNELDATA", "__NPOINTS__": "1", "__DATA__": b"\x80\x04no pickle."},
        {"__EVENT__": "CHANNELDATA", "__NPOINTS__": "many", "__DATA__": pickle.dumps(1.0)},
        {"__EVENT__": "CHANNELDATA", "__NPOINTS__": "7", "__DATA__": pickle.dumps(np.zeros(3))},
        {"__EVENT__": "CHANNELDATA", "__NPOINTS__": "1", "__DATA__": pickle.dumps("text")},
        {"__EVENT__": "CHANNELDATA"},
    ],
)
def test_a_bad_entry_costs_its_channel_what_follows_it(
    poison: dict[str, Any], plain_url: str, tmp_path: Path
) -> None:
    (key,) = published("ascan", plain_url, tmp_path)
    bad, good = expected("ascan")[0]["channels"][:2]
    with redis.Redis.from_url(plain_url) as client:
        client.xadd(f"{bad['db_name']}_data", poison, id="12-0")
    records = all_records(plain_url, key)
    assert digest(rows_of(records, bad["name"])) == bad["sha256_of_rows"]
    assert digest(rows_of(records, good["name"])) == good["sha256_of_rows"]
    assert [r.channel for r in records if isinstance(r, ChannelFailed)] == [bad["name"]]


def test_unknown_events_are_no_points(plain_url: str, tmp_path: Path) -> None:
    (key,) = published("ascan", plain_url, tmp_path)
    channel = expected("ascan")[0]["channels"][0]
    with redis.Redis.from_url(plain_url) as client:
        client.xadd(f"{channel['db_name']}_data", {"__EVENT__": "UNKNOWN"}, id="12-0")
    assert (
        digest(rows_of(all_records(plain_url, key), channel["name"])) == channel["sha256_of_rows"]
    )


def test_a_key_that_is_no_stream_costs_its_channel(plain_url: str, tmp_path: Path) -> None:
    (key,) = published("ascan", plain_url, tmp_path)
    bad, good = expected("ascan")[0]["channels"][:2]
    with redis.Redis.from_url(plain_url) as client:
        client.delete(f"{bad['db_name']}_data")
        client.set(f"{bad['db_name']}_data", "no stream")
    records = all_records(plain_url, key)
    assert [r.channel for r in records if isinstance(r, ChannelFailed)] == [bad["name"]]
    assert digest(rows_of(records, good["name"])) == good["sha256_of_rows"]


def test_a_field_that_cannot_be_read_costs_itself(plain_url: str, tmp_path: Path) -> None:
    (key,) = published("ascan", plain_url, tmp_path)
    with redis.Redis.from_url(plain_url) as client:
        client.hset(f"{key}_info", "purpose", b"\x80\x04damaged.")
        client.hset(f"{key}_info", "odd", pickle.dumps(ScanNotFoundError("x")))
    closed = all_records(plain_url, key)[-1]
    assert isinstance(closed, ScanClosed)
    assert any("purpose" in sentence for sentence in closed.description.warnings)
    assert closed.description.info["odd"] == "<tango_saver.errors.ScanNotFoundError>"
    assert closed.description.title


def test_a_scan_that_vanishes_is_not_found(plain_url: str, tmp_path: Path) -> None:
    (key,) = published("ascan", plain_url, tmp_path, stop_before=0.5)
    reader = Bliss1Reader(plain_url, ScanKey(key))
    assert isinstance(reader.read(1.0)[0], ScanOpened)
    with redis.Redis.from_url(plain_url) as client:
        client.flushall()
    with pytest.raises(ScanNotFoundError):
        read_on(reader)
    reader.close()


def test_a_scan_whose_events_are_in_no_stream_is_refused_at_once(plain_url: str) -> None:
    key = "s:1_odd"
    with redis.Redis.from_url(plain_url) as client:
        make_scan(client, key, {"c": (np.float64, ())})
        client.set(f"{key}_end", "no stream")
    reader = Bliss1Reader(plain_url, ScanKey(key))
    started = time.monotonic()
    with pytest.raises(DocumentError, match="no stream"):
        read_on(reader)
    assert time.monotonic() - started < 10.0
    reader.close()


def read_on(reader: ScanReader) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        reader.read(0.5)


def test_a_session_that_died_leaves_a_scan_that_never_closes(
    plain_url: str, tmp_path: Path
) -> None:
    (key,) = published("ascan", plain_url, tmp_path, stop_before=0.1)
    reader = Bliss1Reader(plain_url, ScanKey(key))
    records = list(reader.read(1.0))
    while found := reader.read(0.2):
        records += found
    assert isinstance(records[0], ScanOpened)
    assert any(isinstance(record, PointsArrived) for record in records)
    assert not any(isinstance(record, ScanClosed) for record in records)
    reader.close()


def test_a_scan_that_failed_before_it_was_prepared_opens_and_closes(
    plain_url: str, tmp_path: Path
) -> None:
    (key,) = published("prepfail", plain_url, tmp_path)
    opened, closed = all_records(plain_url, key)
    assert isinstance(opened, ScanOpened)
    assert isinstance(closed, ScanClosed)
    assert closed.description.end_reason == "FAILURE"


def test_samples_of_different_number_are_rows_of_different_length(plain_url: str) -> None:
    key = "s:1_samples"
    with redis.Redis.from_url(plain_url) as client:
        make_scan(client, key, {"c": (np.float64, (1,))})
        for index, size in enumerate((3, 1, 5)):
            add_points(client, f"{key}:c", index, np.arange(size, dtype=float))
        end_scan(client, key)
    rows = rows_of(all_records(plain_url, key), "c")
    assert [row.shape for row in rows] == [(3,), (1,), (5,)]


def test_bliss_1_8_tells_its_end_in_the_last_state(plain_url: str) -> None:
    key = "s:1_old"
    state = b"\x80\x03cbliss.scanning.scan\nScanState\nK\x05\x85R."
    with redis.Redis.from_url(plain_url) as client:
        make_scan(client, key, {"c": (np.float64, ())})
        client.hset(f"{key}_info", "state", state)
        end_scan(client, key, exception=None)
    closed = all_records(plain_url, key)[-1]
    assert isinstance(closed, ScanClosed)
    assert closed.description.end_reason == "USER_ABORT"


def make_scan(
    client: redis.Redis, key: str, channels: dict[str, tuple[type, tuple[int, ...]]]
) -> None:
    """A scan whose channels lie directly below it, prepared."""
    parent = key.rpartition(":")[0]
    nodes = {parent: "container", key: "scan"} | {f"{key}:{name}": "channel" for name in channels}
    for node, kind in nodes.items():
        fields = {"node_type": kind, "name": node.rpartition(":")[2], "version": "v1.1"}
        client.hset(node, mapping=fields)
    for name, (dtype, shape) in channels.items():
        info = {"dtype": dtype, "shape": shape, "fullname": name}
        client.hset(f"{key}:{name}_info", mapping={k: pickle.dumps(v, 4) for k, v in info.items()})
        client.xadd(f"{key}_children_list", {"__EVENT__": "NEW_NODE", "db_name": f"{key}:{name}"})
    info = {"title": key, "save": True, "filename": "/data/s.h5", "data_writer": "nexus"}
    client.hset(f"{key}_info", mapping={k: pickle.dumps(v, 4) for k, v in info.items()})
    client.xadd(f"{parent}_children_list", {"__EVENT__": "NEW_NODE", "db_name": key})
    client.xadd(f"{key}_prepared", {"__EVENT__": "PREPARED_SCAN"})


def add_points(client: redis.Redis, channel: str, index: int, value: Any) -> None:
    fields = {"__EVENT__": "CHANNELDATA", "__NPOINTS__": "1", "__DATA__": pickle.dumps(value, 4)}
    client.xadd(f"{channel}_data", fields, id=f"{index + 1}-0")


def end_scan(client: redis.Redis, key: str, exception: str | None = "") -> None:
    fields = {"__EVENT__": "END_SCAN", "__EXCEPTION__": pickle.dumps(exception, 4)}
    client.xadd(f"{key}_end", fields)
