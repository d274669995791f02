"""Hearing of new scans: none lost, none twice, bad ones reported, and always stoppable."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from blissdata.redis_engine.store import DataStore
from reading import SCALAR, HandMadeScan

from tango_saver.demo.redis_server import RedisServer, prepare_database
from tango_saver.engine.listener import entry_order
from tango_saver.errors import (
    ConfigurationError,
    DocumentError,
    ProtocolVersionError,
    RedisUnreachableError,
    ScanNotFoundError,
)
from tango_saver.model.scan import ScanKey, ScanState
from tango_saver.model.settings import SaverSettings
from tango_saver.source.base import ScanReader, ScanSource
from tango_saver.source.bliss2 import Bliss2Source
from tango_saver.source.factory import open_reader, open_source
from tango_saver.source.moment import entry_range

IDENTITY = {
    "name": "ascan", "session": "demo", "path": "/data/demo.h5", "data_policy": "None",
    "proposal": None, "collection": None, "dataset": None,
}  # fmt: skip


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def source(redis_url: str) -> Iterator[Bliss2Source]:
    opened = Bliss2Source(redis_url)
    yield opened
    opened.close()


def test_scans_published_between_two_calls_are_all_announced_once(
    source: Bliss2Source, redis_url: str
) -> None:
    store = DataStore(redis_url)
    position = source.last_entry()
    assert position == "0-0"
    created, heard = [], []
    for batch in ((1, 2, 3), (4,), (), (5, 6)):
        for number in batch:
            info = {"save": number != 2, "data_writer": "nexus", "filename": "/data/demo.h5"}
            created.append(store.create_scan(IDENTITY | {"number": number}, info=info).key)
        scans, position, warnings = source.new_scans(position, 0.05)
        assert not warnings
        heard += scans
    assert [scan.key for scan in heard] == created
    assert [scan.number for scan in heard] == [1, 2, 3, 4, 5, 6]
    assert [scan.saved for scan in heard] == [True, False, True, True, True, True]
    assert {(s.session, s.name, s.writer, s.target) for s in heard} == {
        ("demo", "ascan", "nexus", "/data/demo.h5")
    }
    assert heard[-1].entry == position == source.last_entry()


def test_a_scan_is_announced_while_the_source_waits(
    source: Bliss2Source, client: redis.Redis
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    threading.Timer(0.1, scan.announce, (0,)).start()
    scans, _, _ = source.new_scans("0-0", 20)
    assert [announced.key for announced in scans] == [scan.key]


def test_a_scan_whose_document_cannot_be_read_is_one_warning(
    source: Bliss2Source, client: redis.Redis
) -> None:
    bad = HandMadeScan(client, {"a": SCALAR})
    bad.document["id"]["number"] = "seven"
    text = HandMadeScan(client, {"a": SCALAR})
    good = HandMadeScan(client, {"a": SCALAR})
    bad.announce(0)
    client.set(text.key, "text")
    client.xadd("_SCAN_HISTORY_", {"key": text.key})
    client.xadd("_SCAN_HISTORY_", {"odd": "entry"})
    client.xadd("_SCAN_HISTORY_", {"key": b"\xff\xfe"})
    good.announce(0)
    scans, position, warnings = source.new_scans("0-0", 5)
    assert [scan.key for scan in scans] == [good.key]
    assert position == source.last_entry()
    assert sum(bad.key in warning for warning in warnings) == 1
    assert sum(text.key in warning for warning in warnings) == 1


def test_deleted_scans_are_counted(source: Bliss2Source, client: redis.Redis) -> None:
    gone, expiring, good = (HandMadeScan(client, {"a": SCALAR}) for _ in range(3))
    for scan in (gone, expiring, good):
        scan.announce(0)
    client.delete(gone.key)
    client.expire(expiring.key, 10)
    client.expire(good.key, 3600)
    scans, _, warnings = source.new_scans("0-0", 5)
    assert [scan.key for scan in scans] == [good.key]
    assert len(warnings) == 1
    assert warnings[0].startswith("2 ")


def test_a_long_history_is_announced_in_pieces(source: Bliss2Source, client: redis.Redis) -> None:
    scans = [HandMadeScan(client, {}) for _ in range(600)]
    for scan in scans:
        scan.announce(0)
    heard, position = [], "0-0"
    while True:
        some, position, _ = source.new_scans(position, 0)
        if not some:
            break
        heard += [scan.key for scan in some]
    assert heard == [scan.key for scan in scans]


def test_the_entry_at_a_moment_lies_before_what_comes_after_it(
    source: Bliss2Source, client: redis.Redis
) -> None:
    before = HandMadeScan(client, {"a": SCALAR})
    before.announce(0)
    newest = int(source.last_entry().split("-")[0])
    while True:  # until the clock of Redis, and ours, have moved on by some milliseconds
        moment = time.monotonic()
        seconds, microseconds = client.time()
        if seconds * 1000 + microseconds // 1000 > newest + 20:
            break
    after = HandMadeScan(client, {"a": SCALAR})
    after.announce(0)
    scans, _, _ = source.new_scans(source.entry_at(moment).earliest, 5)
    assert [scan.key for scan in scans] == [after.key]


@pytest.mark.parametrize("asleep", ["before", "after"])
def test_a_moment_lies_between_what_came_before_and_what_came_after_it(
    asleep: str, source: Bliss2Source, client: redis.Redis, redis_url: str
) -> None:
    class Sleepy(redis.Redis):
        """Its process gets no time, on one side of the answer."""

        def time(self, **_: object) -> tuple[int, int]:
            time.sleep(0.05 if asleep == "before" else 0)
            answer = super().time()
            time.sleep(0.05 if asleep == "after" else 0)
            return answer

    HandMadeScan(client, {"a": SCALAR}).announce(0)
    before = source.last_entry()
    moment = time.monotonic()
    time.sleep(0.005)
    HandMadeScan(client, {"a": SCALAR}).announce(0)
    after = source.last_entry()
    with Sleepy.from_url(redis_url) as sleepy:
        found = entry_range(sleepy, moment)
    assert entry_order(before) <= entry_order(found.latest)
    assert entry_order(found.earliest) < entry_order(after)


def test_closing_ends_a_waiting_call_at_once(source: Bliss2Source) -> None:
    answer: list[object] = []
    thread = threading.Thread(target=lambda: answer.append(source.new_scans("0-0", 60)))
    thread.start()
    while not any(c["cmd"] == "xread" for c in source._client.client_list()):
        pass
    source.close()
    thread.join(2)
    assert not thread.is_alive()
    assert answer == [((), "0-0", ())]
    source.close()


@pytest.mark.parametrize("version", [None, "2", "", "one"])
def test_a_database_of_another_protocol_is_refused_with_advice(
    source: Bliss2Source, client: redis.Redis, version: str | None
) -> None:
    if version is None:
        client.delete("_PROTOCOL_VERSION_")
    else:
        client.set("_PROTOCOL_VERSION_", version)
    for ask in (
        source.last_entry,
        lambda: source.new_scans("0-0", 0),
        lambda: source.entry_at(time.monotonic()),
    ):
        with pytest.raises(ProtocolVersionError) as caught:
            ask()
        assert caught.value.advice


def test_a_version_or_history_of_another_type_is_refused(
    source: Bliss2Source, client: redis.Redis
) -> None:
    client.set("_SCAN_HISTORY_", "text")
    with pytest.raises(ProtocolVersionError):
        source.new_scans("0-0", 0)
    client.delete("_PROTOCOL_VERSION_")
    client.rpush("_PROTOCOL_VERSION_", 1)
    with pytest.raises(ProtocolVersionError):
        source.last_entry()


def test_the_position_stays_valid_over_an_outage(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "1") as server:
        source = Bliss2Source(server.url, timeout_s=1)
        with redis.Redis.from_url(server.url) as client:
            HandMadeScan(client, {}).announce(0)
        _, position, _ = source.new_scans("0-0", 1)
    with pytest.raises(RedisUnreachableError):
        source.new_scans(position, 0.1)
    with RedisServer(tmp_path / "2", port=server.port), redis.Redis.from_url(server.url) as client:
        client.flushall()
        with pytest.raises(ProtocolVersionError):
            source.new_scans(position, 0.1)
        prepare_database(server.url)
        scan = HandMadeScan(client, {})
        scan.announce(0)
        scans, _, _ = source.new_scans(position, 5)
        assert [announced.key for announced in scans] == [scan.key]
    source.close()


def test_a_scan_is_described_in_its_newest_state(source: Bliss2Source, client: redis.Redis) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    with pytest.raises(ScanNotFoundError):
        source.describe(scan.key)
    scan.put_document()
    assert source.describe(scan.key).state is ScanState.CREATED
    scan.announce(0, 1, 2)
    assert source.describe(scan.key).state is ScanState.STARTED
    scan.document["id"]["session"] = 5
    scan.put_document()
    with pytest.raises(DocumentError, match=r"\$\.id\.session"):
        source.describe(scan.key)


def test_the_factory_opens_what_the_settings_say(redis_url: str, client: redis.Redis) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1)
    source: ScanSource = open_source(SaverSettings(redis_url=redis_url))
    assert source.new_scans("0-0", 1)[0][0].key == scan.key
    reader: ScanReader = open_reader(redis_url, scan.key, {}, 5.0)
    assert reader.describe().number == scan.document["id"]["number"]
    reader.close()
    source.close()
    for url in ("localhost:6379", "http://localhost", ""):
        with pytest.raises(ConfigurationError):
            open_reader(url, ScanKey("esrf:scan:X"), {}, 5.0)
