"""Malformed scans: each costs the channel or the scan it belongs to, and never hangs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import redis
from reading import SCALAR, SEAL, HandMadeScan, has_points, is_closed, read_all, read_until

from tango_saver.errors import DocumentError, SourceError
from tango_saver.model.records import ScanOpened
from tango_saver.source.bliss2 import Bliss2Reader


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def good_beside_bad(
    client: redis.Redis, poison: Callable[[HandMadeScan], Any], **bad_encoding: Any
) -> HandMadeScan:
    """A closed scan: ``good`` has five points, ``bad`` two and then the poison."""
    scan = HandMadeScan(client, {"good": SCALAR, "bad": SCALAR | bad_encoding})
    scan.announce(0, 1, 2)
    scan.send("good", 0, range(5))
    if not bad_encoding:
        scan.send("bad", 0, range(2))
    poison(scan)
    scan.seal("good")
    scan.announce(3, 4)
    return scan


@pytest.mark.parametrize(
    ("entry", "fields"),
    [
        ("2-1", {"payload": b"1234567"}),
        ("2-1", {"payload": bytes(8), "len": 3}),
        ("2-1", {"payload": bytes(8), "len": "many"}),
        ("2-1", {"payload": bytes(8), "len": -1}),
        ("2-1", {"other": 1}),
        ("2-1", {"len": 1}),
        ("1-5", {"payload": bytes(8)}),
        ("9000000000000000-1", {"payload": bytes(8)}),
        (SEAL, {"id": "two"}),
        (SEAL, {"id": 1}),
        (SEAL, {"id": 2**63}),
        (SEAL, {"other": 2}),
    ],
)
def test_an_undecodable_entry_costs_its_channel(
    client: redis.Redis, redis_url: str, entry: str, fields: dict[str, Any]
) -> None:
    scan = good_beside_bad(client, lambda s: s.send_raw("bad", entry, fields))
    got = read_all(redis_url, scan.key)
    assert got.points("good") == list(range(5))
    assert got.ends("good") == [5]
    assert got.points("bad") == [0, 1], "what came before is kept"
    assert len(got.failures("bad")) == 1
    assert got.ends("bad") == []


@pytest.mark.parametrize(
    "encoding",
    [{"dtype_str": "|O"}, {"dtype_str": "<q9"}, {"type": "unheard of"}, {"shape": "wide"}],
)
def test_an_unknown_encoding_costs_its_channel(
    client: redis.Redis, redis_url: str, encoding: dict[str, Any]
) -> None:
    scan = good_beside_bad(client, lambda s: s.send("bad", 0, [1]), **encoding)
    got = read_all(redis_url, scan.key)
    assert got.points("good") == list(range(5))
    assert len(got.failures("bad")) == 1
    assert got.failures("bad") == [got.opened.description.channels["bad"].problem]


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[" * 100_000])
def test_undecodable_json_costs_its_channel(
    client: redis.Redis, redis_url: str, payload: bytes
) -> None:
    scan = good_beside_bad(
        client, lambda s: s.send_raw("bad", "0-1", {"payload": payload}), type="json"
    )
    got = read_all(redis_url, scan.key)
    assert got.points("good") == list(range(5))
    assert len(got.failures("bad")) == 1


@pytest.mark.parametrize("kind", ["string", "list", "json"])
@pytest.mark.parametrize("when", ["before", "while"])
def test_a_key_that_is_no_stream_costs_its_channel(
    client: redis.Redis, redis_url: str, kind: str, when: str
) -> None:
    scan = HandMadeScan(client, {"good": SCALAR, "bad": SCALAR, "worse": SCALAR})
    scan.announce(0, 1, 2)
    reader = Bliss2Reader(redis_url, scan.key)
    got = []
    if when == "while":
        got += read_until(reader, bool)
    for name in ("bad", "worse"):
        if kind == "string":
            client.set(scan.streams[name], "text")
        elif kind == "list":
            client.rpush(scan.streams[name], "text")
        else:
            client.execute_command("JSON.SET", scan.streams[name], ".", "{}")
    scan.send("good", 0, range(5))
    got += read_until(reader, has_points("good", 5))
    scan.seal("good")
    scan.announce(3, 4)
    got += read_until(reader, is_closed)
    reader.close()
    failed = [record.channel for record in got if type(record).__name__ == "ChannelFailed"]
    assert sorted(failed) == ["bad", "worse"]


def test_resuming_at_a_key_that_is_no_stream_costs_its_channel(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"good": SCALAR, "bad": SCALAR})
    scan.announce(0, 1, 2)
    client.set(scan.streams["bad"], "text")
    scan.send("good", 0, range(5))
    scan.seal("good")
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key, good=1, bad=2)
    assert got.points("good") == [1, 2, 3, 4]
    assert len(got.failures("bad")) == 1


@pytest.mark.parametrize("n_points", [0, 3])
def test_a_stream_without_an_end_does_not_keep_a_closed_scan_open(
    client: redis.Redis, redis_url: str, n_points: int
) -> None:
    scan = HandMadeScan(client, {"good": SCALAR, "bad": SCALAR})
    scan.announce(0, 1, 2)
    scan.send("good", 0, range(5))
    if n_points:
        scan.send("bad", 0, range(n_points))
    scan.seal("good")
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key)
    assert got.points("bad") == list(range(n_points))
    assert len(got.failures("bad")) == 1
    assert "no end" in got.failures("bad")[0]
    assert got.ends("good") == [5]


def test_a_seal_that_comes_a_moment_after_the_close_is_taken(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1, 2, 3, 4)
    reader = Bliss2Reader(redis_url, scan.key)
    got = list(read_until(reader, bool))
    got += reader.read(0)
    scan.send("a", 0, [1])
    scan.seal()
    got += read_until(reader, is_closed)
    reader.close()
    assert [type(record).__name__ for record in got] == [
        "ScanOpened", "PointsArrived", "ChannelEnded", "ScanClosed",
    ]  # fmt: skip


def test_an_undecodable_status_costs_its_channel(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"good": SCALAR, "image": {"type": "json"}})
    scan.document["data_streams"]["image"]["info"] = {"plugin": "lima"}
    scan.announce(0, 1, 2)
    scan.send("good", 0, range(5))
    scan.send_raw("image", "0-1", {"payload": b"{"})
    scan.seal()
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key)
    assert len(got.failures("image")) == 1
    assert got.points("good") == list(range(5))


def test_a_plugin_that_nobody_knows_is_read_as_plain_data(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.document["data_streams"]["a"]["info"] = {"plugin": "of_another_house"}
    scan.announce(0, 1, 2)
    scan.send("a", 0, range(5))
    scan.seal()
    scan.announce(3, 4)
    assert read_all(redis_url, scan.key).points("a") == list(range(5))


def test_two_channels_on_one_stream_do_not_hang(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"good": SCALAR, "bad": SCALAR, "state": SCALAR})
    streams = scan.document["data_streams"]
    streams["bad"]["pk"] = streams["good"]["pk"]
    streams["state"]["pk"] = scan.document["state_stream"]["pk"]
    scan.announce(0, 1, 2)
    scan.send("good", 0, range(5))
    scan.seal("good")
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key)
    assert got.points("good") == list(range(5))
    assert len(got.failures("bad")) == len(got.failures("state")) == 1


def test_a_scan_without_chain_devices_and_channels_is_read(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR}, info={"save": True})
    scan.announce(0, 1, 2)
    scan.send("a", 0, range(5))
    scan.seal()
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key)
    assert got.points("a") == list(range(5))
    assert got.opened.description.warnings


def test_strange_states_are_ignored(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0)
    client.xadd(scan.state_stream, {"state": "soon"})
    client.xadd(scan.state_stream, {"other": 1})
    client.xadd(scan.state_stream, {"state": 17})
    scan.announce(1, 2)
    scan.seal()
    scan.announce(3, 4)
    assert read_all(redis_url, scan.key).ends("a") == [0]


def test_a_document_with_a_bad_core_names_the_field(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.document["id"]["number"] = "seven"
    scan.announce(0)
    reader = Bliss2Reader(redis_url, scan.key)
    with pytest.raises(DocumentError, match=r"\$\.id\.number"):
        reader.read(1)
    reader.close()


def test_a_scan_key_that_is_no_document_is_a_document_error(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    client.set(scan.key, "text")
    reader = Bliss2Reader(redis_url, scan.key)
    with pytest.raises(DocumentError):
        reader.read(1)
    reader.close()


def test_a_state_stream_that_is_none_is_a_document_error(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.put_document()
    client.set(scan.state_stream, "text")
    reader = Bliss2Reader(redis_url, scan.key)
    with pytest.raises(DocumentError, match="state_stream"):
        read_until(reader, lambda _: False)
    reader.close()


def test_a_final_document_that_cannot_be_read_costs_no_points(
    client: redis.Redis, redis_url: str
) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0, 1, 2)
    reader = Bliss2Reader(redis_url, scan.key)
    got = list(read_until(reader, bool))
    assert isinstance(got[0], ScanOpened)
    scan.send("a", 0, [1, 2])
    scan.seal()
    scan.document["id"] = 5
    scan.announce(3, 4)
    got += read_until(reader, is_closed)
    reader.close()
    assert any("final document" in warning for warning in got[-1].description.warnings)


def test_ten_thousand_channels_are_read(client: redis.Redis, redis_url: str) -> None:
    names = [f"c{n}" for n in range(10_000)]
    scan = HandMadeScan(client, dict.fromkeys(names, SCALAR), info={"save": True})
    # The publisher of BLISS takes no document above 1 MiB, Redis itself does.
    scan.announce(0, 1, 2)
    pipeline = client.pipeline(transaction=False)
    for n, name in enumerate(names):
        pipeline.xadd(scan.streams[name], {"payload": np.float64(n).tobytes()}, id="0-1")
        pipeline.fcall("seal_stream", 1, scan.streams[name])
    pipeline.execute()
    scan.announce(3, 4)
    got = read_all(redis_url, scan.key)
    values = {r.channel: r.points.values[0] for r in got.records if hasattr(r, "points")}
    assert values == {name: float(n) for n, name in enumerate(names)}


def test_a_redis_without_json_is_refused_with_a_reason(client: redis.Redis, redis_url: str) -> None:
    scan = HandMadeScan(client, {"a": SCALAR})
    scan.announce(0)
    client.execute_command("ACL", "SETUSER", "plain", "on", ">plain", "+@all", "-json.get", "~*")
    url = redis_url.replace("redis://", "redis://plain:plain@")
    reader = Bliss2Reader(url, scan.key)
    with pytest.raises(SourceError, match=r"json\.get"):
        reader.read(1)
    reader.close()
    client.execute_command("ACL", "DELUSER", "plain")
