"""The reader against blissdata, the publisher that BLISS itself uses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis
from blissdata.redis_engine.store import DataStore
from blissdata.streams import StreamDefinition
from blissdata.streams.default import Stream
from reading import (
    SCALAR,
    Collected,
    HandMadeScan,
    has_points,
    is_closed,
    read_all,
    read_until,
)

from tango_saver.demo.redis_server import RedisServer, free_port
from tango_saver.errors import RedisUnreachableError, ScanNotFoundError
from tango_saver.model.records import ChannelEnded, PointsArrived, ScanOpened
from tango_saver.model.scan import EndReason, ScanKey, ScanState
from tango_saver.source.bliss2 import Bliss2Reader

IDENTITY = {
    "name": "ascan", "number": 3, "session": "demo", "path": "/data/demo.h5",
    "data_policy": "None", "proposal": None, "collection": None, "dataset": None,
}  # fmt: skip
DTYPES = ["bool", "i1", "u1", "<i2", ">i2", "<u2", "<i4", ">u4", "<i8", ">i8", "<u8", "<f2",
          "<f4", ">f4", "<f8", ">f8", "<c8", "<c16", ">c16"]  # fmt: skip


@pytest.fixture
def store(redis_url: str) -> DataStore:
    return DataStore(redis_url)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def new_scan(
    store: DataStore, *definitions: StreamDefinition, **info: Any
) -> tuple[Any, list[Any]]:
    names = [definition.name for definition in definitions]
    chain = {"t": {"top_master": "t", "devices": [], "scalars": names}}
    scan = store.create_scan(IDENTITY, info={"save": True, "acquisition_chain": chain} | info)
    streams = [scan.create_stream(definition) for definition in definitions]
    return scan, streams


def finish(scan: Any, streams: list[Any]) -> None:
    for stream in streams:
        stream.seal()
    scan.stop()
    scan.info["end_reason"] = "SUCCESS"
    scan.close()


@pytest.mark.parametrize("shape", [(), (5,), (3, 4)], ids=str)
def test_every_dtype_comes_back_equal_from_blissdata(
    store: DataStore, redis_url: str, shape: tuple[int, ...]
) -> None:
    definitions = [Stream.make_definition(d, np.dtype(d), shape) for d in DTYPES]
    scan, streams = new_scan(store, *definitions)
    scan.prepare()
    scan.start()
    random = np.random.default_rng(1)
    sent = {}
    for dtype, stream in zip(DTYPES, streams, strict=True):
        n_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, initial=1)) * 20
        raw = random.integers(0, 2 if dtype == "bool" else 256, n_bytes, dtype="u1")
        sent[dtype] = raw.view(dtype).reshape(20, *shape)
        for first, stop in ((0, 1), (1, 2), (2, 9), (9, 20)):
            stream.send(sent[dtype][first:stop])
    finish(scan, streams)
    got = read_all(redis_url, scan.key)
    for dtype, values in sent.items():
        assert got.opened.description.channels[dtype].dtype == np.dtype(dtype)
        points = np.asarray(got.points(dtype))
        assert points.shape == values.shape
        wanted = values.astype(values.dtype.newbyteorder("<")).tobytes()
        assert got.bytes(dtype) == wanted
        assert got.ends(dtype) == [20]


def test_variable_shapes_json_and_empty_streams(store: DataStore, redis_url: str) -> None:
    scan, streams = new_scan(
        store,
        Stream.make_definition("v1", "<f8", (-1,)),
        Stream.make_definition("v2", ">i4", (-1, 2)),
        Stream.make_definition("j", "json"),
        Stream.make_definition("empty", "<f8"),
        Stream.make_definition("empty_json", "json"),
    )
    scan.prepare()
    scan.start()
    ragged = [np.arange(n, dtype="<f8") for n in (3, 1, 7)]
    pairs = [np.full((n, 2), n, ">i4") for n in (2, 4)]
    objects: list[Any] = [{"a": [1, None]}, "text", 4, [float("inf")]]
    for values in ragged:
        streams[0].send(values)
    streams[0].send(np.stack([ragged[0], ragged[0] + 1]))
    for values in pairs:
        streams[1].send(values)
    for value in objects:
        streams[2].send(value)
    finish(scan, streams)
    got = read_all(redis_url, scan.key)
    wanted = [*ragged, ragged[0], ragged[0] + 1]
    assert all(np.array_equal(a, b) for a, b in zip(got.points("v1"), wanted, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(got.points("v2"), pairs, strict=True))
    assert got.points("v2")[0].dtype == np.dtype(">i4")
    assert got.points("j") == objects
    assert got.ends("empty") == got.ends("empty_json") == [0]
    assert got.failures("empty") == []
    assert got.closed.description.end_reason == "SUCCESS"


def test_a_scan_is_followed_while_it_is_published(store: DataStore, redis_url: str) -> None:
    scan, (stream,) = new_scan(store, Stream.make_definition("c", "<i8"))
    reader = Bliss2Reader(redis_url, ScanKey(scan.key))
    assert reader.read(0.05) == []
    scan.prepare()
    (opened,) = read_until(reader, bool)
    assert isinstance(opened, ScanOpened)
    assert opened.description.state is ScanState.PREPARED
    scan.start()
    for n in range(5):
        stream.send(n)
        stream.join()
        records = read_until(reader, has_points("c", 1))
        assert [(r.first, list(r.points.values)) for r in records] == [(n, [n])]
    finish(scan, [stream])
    records = read_until(reader, is_closed)
    assert ChannelEnded("c", 5) in records
    reader.close()


def test_a_scan_that_fails_in_prepare_is_opened_and_closed(
    store: DataStore, redis_url: str
) -> None:
    chain = {"t": {"top_master": "t", "devices": [], "scalars": ["never"]}}
    scan = store.create_scan(IDENTITY, info={"save": True, "acquisition_chain": chain})
    scan.info["end_reason"] = "FAILURE"
    scan.close()
    got = read_all(redis_url, scan.key)
    assert len(got.records) == 2
    assert got.opened.description.missing_channels == ("never",)
    assert got.closed.description.end_reason == EndReason.FAILURE


def test_an_aborted_scan_ends_without_having_stopped(store: DataStore, redis_url: str) -> None:
    scan, streams = new_scan(
        store, Stream.make_definition("a", "<f8"), Stream.make_definition("b", "<f8")
    )
    scan.prepare()
    scan.start()
    streams[0].send(np.arange(4.0))
    streams[1].send(np.arange(3.0))
    for stream in streams:
        stream.seal()
    scan.info["end_reason"] = "USER_ABORT"
    scan.close()
    got = read_all(redis_url, scan.key)
    assert (got.ends("a"), got.ends("b")) == ([4], [3])
    assert got.closed.description.end_reason == EndReason.USER_ABORT


def test_streams_that_come_late_into_the_document_are_waited_for(
    client: redis.Redis, redis_url: str
) -> None:
    """The state says PREPARED, the document that is read has no streams yet."""
    scan = HandMadeScan(client, {"a": SCALAR, "b": SCALAR})
    complete = scan.document["data_streams"]
    scan.document["data_streams"] = {}
    scan.announce(0, 1)
    reader = Bliss2Reader(redis_url, scan.key)
    assert reader.read(0) == []
    assert reader.read(0) == []
    scan.document["data_streams"] = complete
    scan.put_document()
    (opened,) = read_until(reader, bool)
    assert isinstance(opened, ScanOpened)
    assert list(opened.description.channels) == ["a", "b"]
    assert opened.description.missing_channels == ()
    reader.close()


def test_a_channel_that_never_gets_a_stream_does_not_hold_up_the_others(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR, "b": SCALAR})
    del scan.document["data_streams"]["b"]
    scan.announce(0, 1, 2)
    scan.send("a", 0, [1, 2])
    scan.seal("a")
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key)
    assert got.opened.description.missing_channels == ("b",)
    assert got.points("a") == [1, 2]


def publish_blocks(scan: HandMadeScan, n_blocks: int) -> None:
    """Blocks of 3 points, whose values are their indices."""
    for first in range(0, 3 * n_blocks, 3):
        scan.send("a", first, range(first, first + 3))


def test_a_trimmed_head_of_an_open_stream_is_a_gap(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1, 2)
    publish_blocks(scan, 10)
    client.xtrim(scan.streams["a"], minid=12, approximate=False)
    reader = Bliss2Reader(redis_url, scan.key)
    got = Collected(read_until(reader, has_points("a", 18)))
    assert got.gaps("a") == [(0, 12)]
    assert got.points("a") == list(range(12, 30))
    # And it happens again, in the midst of reading.
    scan.send("a", 30, range(30, 33))
    scan.send("a", 33, range(33, 36))
    client.xtrim(scan.streams["a"], minid=33, approximate=False)
    got = Collected(read_until(reader, has_points("a", 3)))
    assert got.gaps("a") == [(30, 33)]
    assert got.points("a") == [33, 34, 35]
    reader.close()


def test_a_sealed_stream_of_which_nothing_is_left_is_one_gap(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1, 2)
    publish_blocks(scan, 4)
    scan.seal()
    client.xtrim(scan.streams["a"], maxlen=1, approximate=False)
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key)
    assert got.gaps("a") == [(0, 12)]
    assert got.ends("a") == [12]
    assert got.points("a") == []


@pytest.mark.parametrize("position", range(14))
def test_reading_goes_on_from_any_position(
    client: redis.Redis, redis_url: str, position: int
) -> None:
    """At the border of a block, in its middle, at the end."""
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1, 2)
    publish_blocks(scan, 4)
    scan.send("a", 12, [12])
    scan.seal()
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key, a=position)
    assert got.points("a") == list(range(position, 13))
    assert got.gaps("a") == []
    assert got.ends("a") == [13]


def test_resuming_behind_a_trimmed_block_finds_its_gap(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1, 2)
    publish_blocks(scan, 4)
    client.xtrim(scan.streams["a"], minid=6, approximate=False)
    scan.seal()
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key, a=4)
    assert got.gaps("a") == [(4, 6)]
    assert got.points("a") == list(range(6, 12))


def test_positions_are_where_another_reader_goes_on(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"a": SCALAR, "b": SCALAR})
    scan.announce(0, 1, 2)
    publish_blocks(scan, 3)
    first = Bliss2Reader(redis_url, scan.key, positions={"b": 0})
    got = read_until(first, has_points("a", 9))
    assert dict(first.positions()) == {"a": 9, "b": 0}
    first.close()
    scan.send("a", 9, [9])
    scan.send("b", 0, [0])
    scan.seal()
    scan.announce(3, 4)
    second = Bliss2Reader(redis_url, scan.key, positions=first.positions())
    rest = Collected(read_until(second, is_closed))
    second.close()
    assert Collected(got).points("a") + rest.points("a") == list(range(10))
    assert rest.points("b") == [0]


def test_one_call_is_bounded_by_bytes_and_nothing_is_lost(
    client: redis.Redis, redis_url: str
) -> None:
    """64 MB in entries of 1 MB (blocks of spectra), beside single scalars."""
    spectrum = {"type": "numeric", "dtype_str": "<u4", "shape": [1024]}
    scan = HandMadeScan(client, {"m": spectrum, "a": SCALAR})
    scan.announce(0, 1, 2)
    block = np.zeros((256, 1024), "<u4")
    for first in range(0, 64 * 256, 256):
        block[:, 0] = np.arange(first, first + 256)
        scan.send_raw("m", f"{first}-1", {"payload": block.tobytes(), "len": 256})
    pipeline = client.pipeline(transaction=False)
    for n in range(5000):
        pipeline.xadd(scan.streams["a"], {"payload": np.float64(n).tobytes()}, id=f"{n}-1")
    pipeline.execute()
    scan.seal()
    scan.announce(3, 4)
    reader = Bliss2Reader(redis_url, scan.key)
    calls = []
    while not (calls and is_closed(calls[-1])):
        calls.append(list(reader.read(5)))
    reader.close()
    sizes = [
        sum(r.points.values.nbytes for r in call if isinstance(r, PointsArrived)) for call in calls
    ]
    assert max(sizes) <= 17 * 2**20
    got = Collected([record for call in calls for record in call])
    assert [int(point[0]) for point in got.points("m")] == list(range(64 * 256))
    assert got.points("a") == list(range(5000))


def test_single_points_that_wait_are_read_together(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1, 2)
    pipeline = client.pipeline(transaction=False)
    for n in range(3000):
        pipeline.xadd(scan.streams["a"], {"payload": np.float64(n).tobytes()}, id=f"{n}-1")
    pipeline.execute()
    scan.seal()
    scan.announce(3, 4)
    reader = Bliss2Reader(redis_url, scan.key)
    opened, everything = reader.read(5), Collected(list(reader.read(5)))
    reader.close()
    assert [type(record) for record in opened] == [ScanOpened]
    assert everything.points("a") == list(range(3000))


def test_image_channels_give_their_newest_status(client: redis.Redis, redis_url: str) -> None:
    counter = {"type": "numeric", "dtype_str": "<u4", "shape": []}
    scan = HandMadeScan(client, {"lima": {"type": "json"}, "lima2": counter})
    for name, plugin in (("lima", "lima"), ("lima2", "lima2")):
        scan.document["data_streams"][name]["info"] = {"plugin": plugin}
    scan.announce(0, 1, 2)
    for n in range(3):
        scan.send_raw("lima", f"{n}-1", {"payload": f'{{"last_index": {n}}}'})
        scan.send_raw("lima2", f"{n}-1", {"payload": np.uint32(n + 5).tobytes()})
    scan.seal()
    scan.announce(3, 4)
    # A reader that resumes needs the status all the same.
    got = read_all(redis_url, scan.key, lima=3, lima2=2)
    assert got.statuses("lima")[-1] == {"last_index": 2}
    assert got.statuses("lima2")[-1] == 7
    assert got.ends("lima") == got.ends("lima2") == [3]


def sequence(client: redis.Redis, *payloads: str) -> HandMadeScan:
    """A closed sequence whose sub-scans were announced with these payloads."""
    scan = HandMadeScan(client, {"sub": {"type": "json"}})
    scan.document["data_streams"]["sub"]["info"] = {"plugin": "scan_sequence"}
    scan.announce(0, 1, 2)
    for n, payload in enumerate(payloads):
        scan.send_raw("sub", f"{n}-1", {"payload": payload})
    scan.seal()
    return scan


def test_sub_scans_that_were_trimmed_are_a_gap(client: redis.Redis, redis_url: str) -> None:
    scan = sequence(client, *(f'{{"key": "k{n}", "scan_number": {n}}}' for n in range(4)))
    client.xtrim(scan.streams["sub"], minid="2", approximate=False)
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key)
    assert got.gaps("sub") == [(0, 2)]
    assert [(found.index, found.key) for found in got.subscans("sub")] == [(2, "k2"), (3, "k3")]
    assert got.ends("sub") == [4]


@pytest.mark.parametrize(
    "payload",
    ['{"key": "k1"}', '{"key": 1, "scan_number": 1}', '{"key": "", "scan_number": 1}', "7", "{"],
)
def test_a_sub_scan_that_cannot_be_understood_costs_those_behind_it(
    client: redis.Redis, redis_url: str, payload: str
) -> None:
    scan = sequence(client, '{"key": "k0", "scan_number": 5}', payload)
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key)
    assert [(found.key, found.number) for found in got.subscans("sub")] == [("k0", 5)]
    assert len(got.failures("sub")) == 1


def test_a_scan_deleted_while_it_is_read_is_reported(store: DataStore, redis_url: str) -> None:
    scan, (stream,) = new_scan(store, Stream.make_definition("c", "<i8"))
    scan.prepare()
    scan.start()
    stream.send(1)
    stream.join()
    reader = Bliss2Reader(redis_url, ScanKey(scan.key))
    read_until(reader, has_points("c", 1))
    store._redis.expire(scan.key, 10)
    with pytest.raises(ScanNotFoundError):
        read_until(reader, lambda _: False)
    reader.close()


@pytest.mark.parametrize("ttl", [10, 1])
def test_a_scan_about_to_expire_counts_as_deleted(
    client: redis.Redis, redis_url: str, ttl: int
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1)
    client.expire(scan.key, ttl)
    reader = Bliss2Reader(redis_url, scan.key)
    with pytest.raises(ScanNotFoundError):
        reader.read(1)
    with pytest.raises(ScanNotFoundError):
        reader.describe()
    reader.close()


def test_all_points_are_kept_when_the_document_vanishes_at_the_end(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1, 2)
    reader = Bliss2Reader(redis_url, scan.key)
    read_until(reader, bool)
    scan.send("a", 0, [1, 2, 3])
    scan.seal()
    scan.announce(3, 4)
    client.delete(scan.key)
    got = read_until(reader, is_closed)
    reader.close()
    closed = got[-1].description
    assert closed.end_reason == EndReason.DELETION
    assert any("final document" in warning for warning in closed.warnings)
    assert ChannelEnded("a", 3) in got


def break_when_it_waits(url: str) -> None:
    """Cut every connection that waits in XREAD, as soon as there is one."""
    with redis.Redis.from_url(url) as client:
        while not (waiting := [c["id"] for c in client.client_list() if c["cmd"] == "xread"]):
            pass
        for identity in waiting:
            client.client_kill_filter(_id=identity)


def test_nothing_is_lost_when_the_connection_breaks(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1, 2)
    reader = Bliss2Reader(redis_url, scan.key)
    got = list(read_until(reader, bool))
    for n in range(5):
        got += reader.read(0)
        breaker = threading.Thread(target=break_when_it_waits, args=(redis_url,))
        breaker.start()
        with pytest.raises(RedisUnreachableError):
            reader.read(20)
        breaker.join()
        scan.send("a", n, [n])
    scan.seal()
    scan.announce(3, 4)
    got += read_until(reader, is_closed)
    reader.close()
    assert Collected(got).points("a") == list(range(5))


def test_reading_goes_on_after_redis_was_stopped_and_started(tmp_path: Any) -> None:
    port = free_port()
    with (
        RedisServer(tmp_path / "1", port=port) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        url = server.url
        scan = HandMadeScan(client, {"a": SCALAR})
        scan.announce(0, 1, 2)
        scan.send("a", 0, range(7))
        reader = Bliss2Reader(url, scan.key, timeout_s=2)
        got = list(read_until(reader, has_points("a", 7)))
        scan.send("a", 7, range(7, 9))
        dumped = {key: client.dump(key) for key in client.keys("esrf:s*:[HDS]*")}
        assert len(dumped) == 3
    for _ in range(2):
        with pytest.raises(RedisUnreachableError):
            reader.read(0.2)
    with RedisServer(tmp_path / "2", port=port), redis.Redis.from_url(url) as client:
        for key, value in dumped.items():
            client.restore(key, 0, value)
        scan.client = client
        got += read_until(reader, has_points("a", 2))
        scan.seal()
        scan.announce(3, 4)
        got += read_until(reader, is_closed)
    reader.close()
    assert Collected(got).points("a") == list(range(9))


def test_a_redis_that_comes_back_empty_has_no_such_scan(tmp_path: Any) -> None:
    port = free_port()
    with (
        RedisServer(tmp_path / "1", port=port) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        scan = HandMadeScan(client, {"a": SCALAR})
        scan.announce(0, 1, 2)
        reader = Bliss2Reader(server.url, scan.key, timeout_s=2)
        read_until(reader, bool)
    with pytest.raises(RedisUnreachableError):
        reader.read(0.2)
    with RedisServer(tmp_path / "2", port=port), pytest.raises(ScanNotFoundError):
        read_until(reader, lambda _: False)
    reader.close()


def test_a_closed_reader_returns_nothing(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1)
    reader = Bliss2Reader(redis_url, scan.key)
    read_until(reader, bool)
    reader.close()
    reader.close()
    assert reader.read(1) == ()


def test_each_scan_is_read_whole_with_many_readers_at_once(
    client: redis.Redis, redis_url: str
) -> None:
    scans = [HandMadeScan(client, {"a": SCALAR, "b": SCALAR}) for _ in range(12)]
    found: dict[str, Collected] = {}

    def follow(scan: HandMadeScan) -> None:
        found[scan.key] = read_all(redis_url, scan.key)

    for scan in scans:
        scan.announce(0)
    threads = [threading.Thread(target=follow, args=(scan,)) for scan in scans]
    for thread in threads:
        thread.start()
    for scan in scans:
        scan.announce(1, 2)
    for first in range(0, 60, 3):
        for scan in scans:
            scan.send("a", first, range(first, first + 3))
            scan.send("b", first // 3, [first])
    for scan in scans:
        scan.seal()
        scan.announce(3, 4)
    for thread in threads:
        thread.join(30)
    for scan in scans:
        assert found[scan.key].points("a") == list(range(60))
        assert found[scan.key].points("b") == list(range(0, 60, 3))
