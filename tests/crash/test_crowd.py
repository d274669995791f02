"""Many scans at once leave connections to Redis for BLISS, and time for the next scan."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from reading import SCALAR, HandMadeScan
from saving import StartSaver

from tango_saver.engine import events, patient_reader
from tango_saver.engine.patient_reader import PatientReader
from tango_saver.engine.recollection import Recollection
from tango_saver.errors import SaverError
from tango_saver.model.records import Record, ScanClosed
from tango_saver.model.settings import SaverSettings


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


def read_all(reader: PatientReader, n_records: int) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + 20
    while len(records) < n_records and time.monotonic() < deadline:
        records += reader.read()
    return records


def test_quiet_scans_of_a_crowd_have_a_connection_only_while_they_are_looked_at(
    client: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_reader, "_MOST_CONNECTED", 2)
    monkeypatch.setattr(patient_reader, "_QUIET_S", 0.1)
    monkeypatch.setattr(patient_reader, "_REST_S", 0.05)
    before = client.info("clients")["connected_clients"]
    scans = [HandMadeScan(client, {"c": SCALAR}) for _ in range(4)]
    for scan in scans:
        scan.announce(0, 1, 2)
    settings = SaverSettings(redis_url=redis_url, publisher_timeout_s=0.2)
    readers = [PatientReader(scan.key, settings, {}) for scan in scans]
    for reader in readers:
        assert len(read_all(reader, 1)) == 1  # it is open
    deadline = time.monotonic() + 10
    while client.info("clients")["connected_clients"] > before and time.monotonic() < deadline:
        for reader in readers:
            reader.read()
    assert client.info("clients")["connected_clients"] == before
    for scan, reader in zip(scans, readers, strict=True):
        scan.send("c", 0, range(3))
        scan.seal()
        scan.announce(3, 4)
        *_, last = read_all(reader, 3)
        assert isinstance(last, ScanClosed)
        reader.close()
        reader.close()
    assert client.info("clients")["connected_clients"] == before


def test_what_survives_a_restart_is_written_once_for_many_events(
    start_saver: StartSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_events, n_written = 200, 0
    write = Recollection.write

    def counted(recollection: Recollection, *content: Any) -> None:
        nonlocal n_written
        n_written += 1
        write(recollection, *content)

    monkeypatch.setattr(Recollection, "write", counted)
    saver = start_saver()
    for number in range(n_events):
        failure = SaverError("it cannot be read")
        saver.conductor._events.put(events.Undescribed(f"esrf:scan:{number}", failure))
    saver.wait_for(lambda status: status.scans_failed == n_events)
    saver.conductor.shutdown(5)
    again = start_saver()
    assert len(again.conductor.status().finished) == 20
    assert 0 < n_written < n_events / 2
