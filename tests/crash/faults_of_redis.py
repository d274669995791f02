"""Redis goes, comes back empty, is full, slow, or not BLISS's."""

from __future__ import annotations

from crash.fault_runs import Faults, Ground, wait
from crash.live_scan import CHANNELS
from saving import points_in

from tango_saver.model.status import SaverState

faults = Faults("Redis")


def _troubled(ground: Ground, saver: object) -> None:
    ground.told(saver, lambda s: s.state is SaverState.ALARM and "answer" in s.status)  # type: ignore[arg-type]


@faults("connection refused for 5 s in mid-scan, Redis keeps its data")
def refused(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan(n_points=400).start()
    saver.wait_for(lambda status: points_in(status) > 100)
    ground.relay.cut()
    _troubled(ground, saver)
    wait(5)
    ground.relay.restore()
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("scan published during such an outage")
def during(ground: Ground) -> None:
    saver = ground.saver()
    ground.relay.cut()
    _troubled(ground, saver)
    scan = ground.scan(n_points=20).start().join()
    ground.relay.restore()
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("connection refused for 5 s while the server is restarted")
def both(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan(n_points=200).start()
    saver.wait_for(lambda status: points_in(status) > 100)
    ground.relay.cut()
    saver.conductor.shutdown(0)
    again = ground.saver(listens=False)
    again.conductor.start()
    _troubled(ground, again)
    wait(4)
    ground.relay.restore()
    ground.judge(again, scan)
    ground.next_scans(again)


@faults("Redis killed in mid-scan, back empty after 3 s (the session publishes into nothing)")
def back_empty(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan(n_points=150).start()
    saver.wait_for(lambda status: points_in(status) > 100)
    ground.redis.stop()
    sent = scan._n_sent
    _troubled(ground, saver)
    wait(3)
    ground.redis.start()
    report = ground.judge(
        saver, scan, reason="published into a Redis that was gone, or not read when it went"
    )
    # The point that was on its way may have been counted and not arrived.
    received = min(channel.received for channel in report.channels)
    assert sent - received <= 25, (sent, received)
    assert all(channel.received == channel.on_disk for channel in report.channels)
    ground.note.n_expected_lost = ground.note.n_lost
    ground.next_scans(saver)


@faults("streams trimmed before they are read (the last 50 of 150 points are left)")
def trimmed(ground: Ground) -> None:
    saver = ground.saver(listens=False)
    scan = ground.scan(n_points=150, rate_hz=500).start().join()
    for stream in scan.raw.streams.values():
        ground.client.xtrim(stream, minid="100", approximate=False)
    saver.conductor.save_scan(scan.key)
    ground.judge(saver, scan, n_expected_lost=100 * len(CHANNELS), reason="trimmed in Redis")
    saver.conductor.start()
    ground.next_scans(saver)
    ground.keep_words(saver.conductor.status())


@faults("the protocol key is deleted in mid-scan, and set again after 3 s")
def unprepared(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan(n_points=300).start()
    saver.wait_for(lambda status: points_in(status) > 100)
    ground.client.delete("_PROTOCOL_VERSION_")
    ground.told(saver, lambda status: status.state is SaverState.FAULT)
    wait(3)
    ground.client.set("_PROTOCOL_VERSION_", 1)
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("Redis at `maxmemory`: it refuses what the session publishes for 3 s")
def full(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan(n_points=350).start()
    saver.wait_for(lambda status: points_in(status) > 100)
    ground.client.config_set("maxmemory", "1mb")
    wait(3)
    ground.client.config_set("maxmemory", "512mb")
    scan.join()
    n_refused = scan.n_points - ground.client.xlen(scan.raw.streams["diode1"]) + 1
    ground.judge(
        saver, scan, n_expected_lost=n_refused * len(CHANNELS),
        reason="refused by Redis: the session could not publish them",
    )  # fmt: skip
    ground.next_scans(saver)


@faults("every answer of Redis takes 0.7 s (`redis_timeout` 1 s)")
def slow(ground: Ground) -> None:
    saver = ground.saver()
    ground.relay.slow(0.7)
    scan = ground.scan(n_points=100).start().join()
    wait(3)
    ground.relay.slow(0.0)
    ground.judge(saver, scan)
    ground.next_scans(saver)


@faults("no answer of Redis comes in time for 5 s (each takes 3 s, `redis_timeout` 1 s)")
def too_slow(ground: Ground) -> None:
    saver = ground.saver()
    scan = ground.scan(n_points=200).start()
    saver.wait_for(lambda status: points_in(status) > 50)
    ground.relay.slow(3.0)
    _troubled(ground, saver)
    wait(5)
    ground.relay.slow(0.0)
    ground.judge(saver, scan)
    ground.next_scans(saver)
