"""What one instance does to the claims is what the others see."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest
import redis
from waiting import wait_until

from tango_saver.engine.claim import ClaimTable, Instance
from tango_saver.engine.claims import bid_delay_s
from tango_saver.errors import RedisUnreachableError

LONG_S, SHORT_S = 60.0, 0.01
TARGET = "/data/µ/scan.h5"
Join = Callable[..., ClaimTable]


@pytest.fixture
def join(redis_url: str) -> Iterator[Join]:
    """An instance with a lease."""
    tables: list[ClaimTable] = []

    def joined(name: str, lease_s: float = LONG_S, *, listens: bool = True) -> ClaimTable:
        tables.append(
            ClaimTable(redis_url, 5, Instance(name, f"name of {name}", f"host of {name}"))
        )
        tables[-1].renew(lease_s, {}, listens=listens)
        return tables[-1]

    yield joined
    for table in tables:
        table.close()


def lapsed(table: ClaimTable, other: ClaimTable, identity: str) -> None:
    """Let the lease of an instance lapse, and wait until another one sees that."""
    table.renew(SHORT_S, {}, listens=True)
    wait_until(lambda: identity not in other.renew(LONG_S, {}, listens=True).loads)


def test_a_target_has_one_instance_at_a_time(join: Join) -> None:
    a, b = join("a"), join("b")
    ours = a.claim("scan", TARGET, "order")
    theirs = b.claim("scan", TARGET, "order")
    assert ours is not None
    assert theirs is not None
    assert (ours.mine, theirs.mine, theirs.held_by) == (True, False, "name of a")
    a.release({TARGET: ours.fence})
    later = b.claim("scan", TARGET, "order")
    assert later is not None
    assert later.mine
    assert later.fence > ours.fence
    assert not later.taken_from


def test_nothing_is_claimed_without_a_lease_that_holds(redis_url: str) -> None:
    table = ClaimTable(redis_url, 5, Instance("a", "a", "host"))
    assert table.claim("scan", TARGET, "order") is None
    table.close()


def test_of_a_lapsed_instance_the_other_takes_targets_over_and_the_first_learns_who(
    join: Join,
) -> None:
    a, b = join("a"), join("b")
    ours = a.claim("scan", TARGET, "order")
    assert ours is not None
    lapsed(a, b, "a")
    (row,) = b.renew(LONG_S, {}, listens=True).free
    assert (row.target, row.order) == (TARGET, "order")
    theirs = b.claim("scan", TARGET, "order")
    assert theirs is not None
    assert (theirs.taken_from, theirs.taken_by_name) == ("host of a", "name of a")
    b.finish("scan", TARGET, "report", theirs.fence)
    b.release({TARGET: theirs.fence})  # and even then
    assert a.renew(LONG_S, {TARGET: ours.fence}, listens=True).lost == {TARGET: "name of b"}


def test_a_lapsed_instance_goes_on_if_nobody_took_its_target(join: Join) -> None:
    a, b = join("a"), join("b")
    ours = a.claim("scan", TARGET, "order")
    assert ours is not None
    lapsed(a, b, "a")
    assert not a.renew(LONG_S, {TARGET: ours.fence}, listens=True).lost
    theirs = b.claim("scan", TARGET, "order")
    assert theirs is not None
    assert not theirs.mine


def test_who_has_lost_a_target_cannot_say_that_its_scan_is_saved(join: Join) -> None:
    a, b = join("a"), join("b")
    ours = a.claim("scan", TARGET, "order")
    assert ours is not None
    lapsed(a, b, "a")
    theirs = b.claim("scan", TARGET, "order")
    assert theirs is not None
    a.finish("scan", TARGET, "report of a", ours.fence)
    a.note("scan", TARGET, "order of a", ours.fence)
    a.release({TARGET: ours.fence})
    lapsed(b, a, "b")
    seen = a.renew(LONG_S, {}, ["scan"], listens=True)
    assert [row.order for row in seen.free] == ["order"]
    assert not seen.over


def test_a_saved_scan_is_not_saved_again_unless_somebody_asks_for_it(join: Join) -> None:
    a, b = join("a"), join("b")
    ours = a.claim("scan", TARGET, "order")
    assert ours is not None
    a.finish("scan", TARGET, "report", ours.fence)
    a.release({TARGET: ours.fence})
    seen = b.renew(LONG_S, {}, ["scan", "other"], listens=True)
    assert (seen.free, seen.over) == ([], ["report"])
    answer = b.claim("scan", TARGET, "order")
    assert answer is not None
    assert answer.saved
    again = b.claim("scan", TARGET, "order", again=True)
    assert again is not None
    assert again.mine


def test_a_scan_waits_for_a_target_whose_instance_does_not_take_it(join: Join) -> None:
    a, b = join("a", listens=False), join("b")
    ours = a.claim("first", TARGET, "order of the first")
    assert ours is not None
    b.claim("second", TARGET, "order of the second")
    assert not b.renew(LONG_S, {}, listens=True).free
    a.finish("first", TARGET, "report", ours.fence)
    a.release({TARGET: ours.fence})
    assert [row.order for row in b.renew(LONG_S, {}, listens=True).free] == ["order of the second"]


def test_who_leaves_has_left_everything_at_once(join: Join) -> None:
    a, b = join("a"), join("b")
    a.claim("scan", TARGET, "order")
    a.leave()
    assert len(b.renew(LONG_S, {}, listens=True).free) == 1
    answer = b.claim("scan", TARGET, "order")
    assert answer is not None
    assert answer.mine
    assert not answer.taken_from


def test_in_a_redis_that_was_emptied_a_claim_is_made_again(join: Join, redis_url: str) -> None:
    a, b = join("a"), join("b")
    ours = a.claim("scan", TARGET, "order")
    assert ours is not None
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert not a.renew(LONG_S, {TARGET: ours.fence}, listens=True).lost
    b.renew(LONG_S, {}, listens=True)
    theirs = b.claim("scan", TARGET, "order")
    assert theirs is not None
    assert not theirs.mine


def test_a_lease_is_renewed_although_redis_has_no_memory_left(join: Join, redis_url: str) -> None:
    a = join("a")
    with redis.Redis.from_url(redis_url) as client:
        limit = client.config_get("maxmemory")["maxmemory"]
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(redis.OutOfMemoryError):
                client.set("anything", "at all")
            answer = a.claim("scan", TARGET, "order")
            assert answer is not None
            assert not a.renew(LONG_S, {TARGET: answer.fence}, listens=True).lost
        finally:
            client.config_set("maxmemory", limit)


def test_a_redis_that_knows_no_flags_of_scripts_runs_them_too(join: Join) -> None:
    a, b = join("a"), join("b")
    a._first_line = ""  # found out by the first answer of Redis 6
    ours = a.claim("scan", TARGET, "order")
    assert ours is not None
    assert ours.mine
    assert not a.renew(LONG_S, {TARGET: ours.fence}, listens=True).lost
    a.finish("scan", TARGET, "report", ours.fence)
    a.leave()
    assert b.renew(LONG_S, {}, ["scan"], listens=True).over == ["report"]


def test_a_redis_that_is_away_is_an_error_of_ours() -> None:
    table = ClaimTable("redis://127.0.0.1:1", 0.5, Instance("a", "a", "host"))
    with pytest.raises(RedisUnreachableError):
        table.renew(LONG_S, {}, listens=True)


def test_all_that_is_kept_has_a_name_of_its_own(join: Join, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        before = set(client.keys())
        a = join("a")
        answer = a.claim("scan", TARGET, "order")
        assert answer is not None
        a.finish("scan", TARGET, "report", answer.fence)
        made = set(client.keys()) - before
    assert made
    assert all(name.startswith(b"tango_saver:") for name in made)


def test_an_instance_alone_never_waits_and_the_busier_one_waits_longer() -> None:
    targets = [f"/data/{number}.h5" for number in range(200)]
    assert {bid_delay_s(target, "a", {"a": 50}) for target in targets} == {0.0}
    idle = {"a": 0, "b": 0}
    first = [bid_delay_s(t, "a", idle) < bid_delay_s(t, "b", idle) for t in targets]
    assert 60 < sum(first) < 140
    busy = {"a": 4, "b": 0}
    assert all(bid_delay_s(t, "a", busy) > bid_delay_s(t, "b", busy) for t in targets)


def test_orders_and_reports_come_back_as_they_were_given(join: Join) -> None:
    a = join("a")
    order = msgspec.json.encode({"path": TARGET, "quote": '"\\', "n": 2**53 + 1}).decode()
    a.claim("scan", TARGET, order)
    a.leave()
    (row,) = join("b").renew(LONG_S, {}, listens=True).free
    assert row.order == order
