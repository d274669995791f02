"""The source of BLISS 1 keeps the contract of ``ScanSource``."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from bliss1_payloads import RECORDINGS

from tango_saver.demo.publisher_bliss1 import replay_bliss1
from tango_saver.demo.redis_server import RedisServer, prepare_database
from tango_saver.engine.listener import entry_order
from tango_saver.errors import ConfigurationError, ProtocolVersionError, RedisUnreachableError
from tango_saver.model.scan import ScanAnnouncement, ScanKey
from tango_saver.model.settings import SaverSettings
from tango_saver.source.base import ScanSource
from tango_saver.source.bliss1 import Bliss1Reader, Bliss1Source, history
from tango_saver.source.bliss1.nodes import EventType, get_node, get_session_node
from tango_saver.source.bliss1.tree import read_nodes
from tango_saver.source.bliss2 import Bliss2Reader
from tango_saver.source.factory import open_reader, open_source


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    """URL of an empty database that no BLISS has used."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def source(url: str) -> Iterator[Bliss1Source]:
    source = Bliss1Source(url)
    yield source
    source.close()


def publish(name: str, url: str, root: Path, session: str | None = None) -> list[str]:
    recording = RECORDINGS / f"{name}.jsonl.gz"
    return replay_bliss1(recording, url, root, speed=0, session=session)


def heard(source: ScanSource, since: str, n_scans: int) -> list[ScanAnnouncement]:
    """So many scans behind a place in the history, waited for."""
    found: list[ScanAnnouncement] = []
    deadline = time.monotonic() + 15
    while len(found) < n_scans:
        assert time.monotonic() < deadline, f"only {[scan.key for scan in found]}"
        scans, since, warnings = source.new_scans(since, 0.2)
        assert not warnings
        found += scans
    return found


def nothing_more(source: ScanSource, since: str) -> bool:
    scans, _, _ = source.new_scans(since, 0.1)
    return not scans


def test_scans_of_new_proposals_and_datasets_are_heard(
    source: Bliss1Source, url: str, tmp_path: Path
) -> None:
    since = source.last_entry()
    keys: list[str] = []
    thread = threading.Thread(target=lambda: keys.extend(publish("policy", url, tmp_path)))
    thread.start()
    found = heard(source, since, 3)
    thread.join()
    assert [scan.key for scan in found] == keys
    assert {scan.session for scan in found} == {"esrf_session"}
    assert [scan.number for scan in found] == [1, 1, 1]
    assert [scan.name for scan in found] == ["loopscan", "ascan", "loopscan"]
    assert [scan.saved for scan in found] == [True, True, True]


def test_a_session_that_is_absent_at_the_start_is_heard_when_it_comes(
    url: str, tmp_path: Path
) -> None:
    source = Bliss1Source(url, session="mine")
    since = source.last_entry()
    assert nothing_more(source, since)
    keys = publish("ascan", url, tmp_path, session="mine")
    publish("loopscan", url, tmp_path, session="other")
    assert [scan.key for scan in heard(source, since, 1)] == keys
    source.close()


def test_only_scans_behind_the_place_are_heard(
    source: Bliss1Source, url: str, tmp_path: Path
) -> None:
    publish("ascan", url, tmp_path)
    since = source.last_entry()
    keys = publish("loopscan", url, tmp_path)
    assert [scan.key for scan in heard(source, since, 1)] == keys


def test_a_source_that_was_away_catches_up_from_its_place(url: str, tmp_path: Path) -> None:
    first = Bliss1Source(url)
    since = first.entry_at(time.monotonic()).earliest
    publish("ascan", url, tmp_path)
    (scan,) = heard(first, since, 1)
    first.close()
    missed = [*publish("loopscan", url, tmp_path), *publish("policy", url, tmp_path)]
    second = Bliss1Source(url)
    assert [scan.key for scan in heard(second, scan.entry, 4)] == missed
    second.close()


def test_a_place_is_told_by_the_clock_of_redis(
    source: Bliss1Source, url: str, tmp_path: Path
) -> None:
    moment = time.monotonic()
    keys = publish("ascan", url, tmp_path)
    assert [scan.key for scan in heard(source, source.entry_at(moment).earliest, 1)] == keys


def test_of_sessions_that_begin_at_the_same_time_every_scan_is_heard(
    source: Bliss1Source, url: str, tmp_path: Path
) -> None:
    since = source.last_entry()
    keys: list[str] = []
    threads = [
        threading.Thread(target=lambda s=session: keys.extend(publish("policy", url, tmp_path, s)))
        for session in "abcdefgh"
    ]
    for thread in threads:
        thread.start()
    found = heard(source, since, 24)
    for thread in threads:
        thread.join()
    assert sorted(scan.key for scan in found) == sorted(keys)


def test_whoever_goes_on_after_a_sudden_end_hears_the_first_scan_of_a_new_session(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("ascan", url, tmp_path, "old")
    monkeypatch.setattr(history, "_SESSIONS_EVERY_S", (60.0, 60.0))
    killed = Bliss1Source(url)
    since = killed.last_entry()
    assert nothing_more(killed, since)
    first_of_new = publish("ascan", url, tmp_path, "new")
    next_of_old = publish("loopscan", url, tmp_path, "old")
    scans, since, _ = killed.new_scans(since, 5)
    assert [scan.key for scan in scans] == next_of_old
    killed.close()
    successor = Bliss1Source(url)
    found = {scan.key for scan in heard(successor, since, 2)}
    assert found == {*first_of_new, *next_of_old}
    successor.close()


def test_no_scan_is_announced_twice_when_redis_is_back(
    source: Bliss1Source, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_SESSIONS_EVERY_S", (60.0, 60.0))
    since = source.last_entry()
    publish("ascan", url, tmp_path, "old")
    (_,), since, _ = source.new_scans(since, 5)
    keys = publish("loopscan", url, tmp_path, "old")
    scans, since, _ = source.new_scans(since, 5)
    assert [scan.key for scan in scans] == keys
    with redis.Redis.from_url(url) as client, ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(source.new_scans, since, 5)
        while not any("xread" in found["cmd"] for found in client.client_list()):
            time.sleep(0.01)
        client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(RedisUnreachableError):
            answer.result()
    new = publish("ascan", url, tmp_path, "new")
    assert [scan.key for scan in heard(source, since, 1)] == new


def test_when_all_sessions_were_looked_for_the_place_is_that_of_the_newest_scan(
    source: Bliss1Source, url: str, tmp_path: Path
) -> None:
    since = source.last_entry()
    publish("ascan", url, tmp_path)
    newest = ""
    deadline = time.monotonic() + 15
    while not newest or entry_order(since) < entry_order(newest):
        assert time.monotonic() < deadline
        scans, since, _ = source.new_scans(since, 0.2)
        newest = max([newest, *(scan.entry for scan in scans)])


def test_a_session_that_began_right_before_stop_is_heard(
    source: Bliss1Source, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = source.last_entry()
    assert nothing_more(source, since)
    monkeypatch.setattr(history, "_SESSIONS_EVERY_S", (60.0, 60.0))
    assert nothing_more(source, since)
    time.sleep(2.1)
    assert nothing_more(source, since)
    keys = publish("ascan", url, tmp_path, "new")
    assert nothing_more(source, since)
    end = source.entry_at(time.monotonic()).latest
    (scan,) = heard(source, since, 1)
    assert [scan.key] == keys
    assert entry_order(scan.entry) <= entry_order(end)


def test_a_scan_that_comes_between_the_readings_of_two_folders_is_heard(
    source: Bliss1Source, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = source.last_entry()
    (first,) = publish("ascan", url, tmp_path, "s")
    expected = [first, *("s:old:1_a", "s:new:1_b")]
    with redis.Redis.from_url(url) as client:

        def announce(parent: str, name: str, kind: str) -> None:
            node = f"{parent}:{name}"
            client.hset(node, mapping={"node_type": kind, "name": name, "version": "v1.0"})
            client.xadd(f"{parent}_children_list", {"__EVENT__": "NEW_NODE", "db_name": node})

        def read_while_scans_are_made(client: redis.Redis, keys: Sequence[str]) -> object:
            if "s:new" in keys:
                announce("s:old", "1_a", "scan")
                time.sleep(0.002)
                announce("s:new", "1_b", "scan")
            return read_nodes(client, keys)

        announce("s", "old", "container")
        (scan,), since, _ = source.new_scans(since, 5)
        monkeypatch.setattr(history, "read_nodes", read_while_scans_are_made)
        announce("s", "new", "container")
        found = [scan, *heard(source, since, 2)]
    assert sorted(scan.key for scan in found) == sorted(expected)
    monkeypatch.undo()
    assert nothing_more(source, max((scan.entry for scan in found), key=entry_order))


def test_groups_and_their_sub_scans_are_scans(
    source: Bliss1Source, url: str, tmp_path: Path
) -> None:
    since = source.last_entry()
    keys = publish("sequence", url, tmp_path)
    assert {scan.key for scan in heard(source, since, 4)} == set(keys)


def test_unsaved_scans_are_told_as_such(source: Bliss1Source, url: str, tmp_path: Path) -> None:
    since = source.last_entry()
    publish("ct", url, tmp_path)
    (scan,) = heard(source, since, 1)
    assert (scan.name, scan.number, scan.saved, scan.target) == ("ct", 1, False, "")


def test_closing_ends_a_wait(url: str) -> None:
    source = Bliss1Source(url, session="mine")
    threading.Timer(0.2, source.close).start()
    started = time.monotonic()
    assert source.new_scans(source.entry_at(started).earliest, 30.0)[0] == ()
    assert time.monotonic() - started < 10


def test_redis_away_is_told() -> None:
    source = Bliss1Source("redis://127.0.0.1:1", 0.5)
    with pytest.raises(RedisUnreachableError):
        source.last_entry()
    source.close()


def test_the_generation_is_found_out(url: str, tmp_path: Path) -> None:
    source = open_source(SaverSettings(redis_url=url))
    started = time.monotonic()
    with pytest.raises(ProtocolVersionError, match="BLISS"):
        source.entry_at(started)
    keys = publish("ascan", url, tmp_path)
    since = source.entry_at(started).earliest
    assert [scan.key for scan in heard(source, since, 1)] == keys
    assert source.describe(ScanKey(keys[0])).title.startswith("ascan")
    source.close()


def test_a_database_of_bliss_2_is_known(redis_server: RedisServer, url: str) -> None:
    prepare_database(redis_server.url)
    source = open_source(SaverSettings(redis_url=url))
    assert source.last_entry() == "0-0"
    source.close()


def test_the_key_of_a_scan_tells_who_reads_it(url: str) -> None:
    for key, kind in (("esrf:scan:01", Bliss2Reader), ("s:data:1_ascan", Bliss1Reader)):
        reader = open_reader(url, ScanKey(key), {}, 1.0)
        assert isinstance(reader, kind)
        reader.close()


def test_a_generation_that_does_not_exist_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_source(SaverSettings(redis_url=url, bliss="3"))


def test_the_documented_walk_over_new_scans(url: str, tmp_path: Path) -> None:
    session = get_session_node(url, "test_session")
    walk = session.walk_on_new_events(include_filter="scan", from_next=True, timeout_s=5)
    publisher = threading.Thread(target=lambda: publish("sequence", url, tmp_path))
    events = []
    threading.Timer(0.2, publisher.start).start()
    for event in walk:
        events.append((event.type, event.node.name))
        if sum(kind is EventType.END_SCAN for kind, _ in events) == 4:
            break
    publisher.join()
    names = {"1_my_sequence", "2_loopscan", "3_ascan", "4_sub_multitop"}
    for kind in (EventType.NEW_NODE, EventType.PREPARED_SCAN, EventType.END_SCAN):
        assert {name for found, name in events if found is kind} == names


def test_the_documented_walk_over_the_events_of_a_scan(url: str, tmp_path: Path) -> None:
    (key,) = publish("ascan", url, tmp_path)
    events = list(get_node(url, key).walk_events())
    kinds = [event.type for event in events]
    assert kinds[-1] is EventType.END_SCAN
    assert kinds.count(EventType.END_SCAN) == 1
    channels = {e.node.name for e in events if e.node.type == "channel"}
    points = dict.fromkeys(channels, 0)
    for event in events:
        if event.type is EventType.NEW_DATA:
            assert event.first_index == points[event.node.name]
            points[event.node.name] += event.n_points
    assert set(points.values()) == {11}
    assert get_node(url, key).info["npoints"] == 11
    assert events[-1].data == ""


def test_a_walk_that_looks_for_channels_alone(url: str, tmp_path: Path) -> None:
    (key,) = publish("loopscan", url, tmp_path)
    events = list(get_node(url, key).walk_events(include_filter="channel"))
    told = {event.type for event in events}
    assert told == {EventType.NEW_NODE, EventType.NEW_DATA, EventType.END_SCAN}
    assert {e.node.type for e in events[:-1]} == {"channel"}
