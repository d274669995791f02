"""A Tango database, and device servers as Starter runs them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tango
from devices import (
    SESSION,
    Events,
    HeldScan,
    Publish,
    SaverDevice,
    StartDevice,
    Subscribe,
    property_lists,
)

from tango_saver.control.register import register
from tango_saver.demo.processes import SaverServer, TangoDatabase
from tango_saver.demo.publisher import replay

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def tango_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TangoDatabase]:
    """One database for the whole run: a process keeps the first one that it talked to."""
    with TangoDatabase(tmp_path_factory.mktemp("tango_database")) as database:
        before = os.environ.get("TANGO_HOST")
        os.environ["TANGO_HOST"] = database.host
        yield database
        if before is None:
            del os.environ["TANGO_HOST"]
        else:
            os.environ["TANGO_HOST"] = before


def _device_starter(
    tango_database: TangoDatabase, folder: Path, servers: list[SaverServer]
) -> StartDevice:
    def start(**properties: str | Sequence[str]) -> SaverDevice:
        number = next(_numbers)
        name, instance = f"test/tango_saver/{number}", f"test{number}"
        database = tango.Database("127.0.0.1", tango_database.port)
        register(
            database,
            server_instance=f"TangoSaver/{instance}",
            device=name,
            properties=property_lists(
                {
                    "state_directory": str(folder / f"state{number}"),
                    "disk_warning": "0",  # the machine of the tests may be nearly full
                    **properties,
                }
            ),
        )
        server = SaverServer(tango_database, instance, name, folder)
        servers.append(server)
        server.start()
        return SaverDevice(tango.DeviceProxy(name), name, instance, server, database)

    return start


@pytest.fixture
def start_device(tango_database: TangoDatabase, tmp_path: Path) -> Iterator[StartDevice]:
    """Registers a device with the given properties, starts its server, ends it after the test."""
    servers: list[SaverServer] = []
    yield _device_starter(tango_database, tmp_path, servers)
    for server in servers:
        server.stop()


@pytest.fixture
def saver_device(start_device: StartDevice, redis_url: str) -> SaverDevice:
    """A device that listens to SESSION in the test's Redis."""
    device = start_device(session=SESSION, redis_url=redis_url)
    device.wait_for_state(tango.DevState.ON)
    return device


@pytest.fixture(scope="module")
def start_module_device(
    tango_database: TangoDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartDevice]:
    """As ``start_device``, for devices that the tests of a module share."""
    servers: list[SaverServer] = []
    yield _device_starter(tango_database, tmp_path_factory.mktemp("devices"), servers)
    for server in servers:
        server.stop()


@pytest.fixture
def subscribe() -> Iterator[Subscribe]:
    """Subscribes to attributes of a device until the test ends."""
    subscribed: list[Events] = []

    def start(
        device: SaverDevice,
        *attributes: str,
        kind: tango.EventType = tango.EventType.CHANGE_EVENT,
    ) -> Events:
        subscribed.append(Events(device.proxy, attributes, kind))
        return subscribed[-1]

    yield start
    for events in subscribed:
        events.close()


@pytest.fixture
def publish(recordings: Path, redis_url: str, tmp_path: Path) -> Publish:
    """Publishes a recording for the session of the device; returns the scans' keys."""

    def run(name: str, *, speed: float = 0, **options: object) -> list[str]:
        return replay(
            recordings / f"{name}.json.gz",
            redis_url,
            tmp_path,
            speed=speed,
            session=SESSION,
            **options,
        )

    return run


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Threads for publishing while the test goes on."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def held_scan(
    saver_device: SaverDevice,
    publish: Publish,
    background: ThreadPoolExecutor,
) -> Iterator[HeldScan]:
    """A scan in mid-run that the device is saving."""
    scan = HeldScan(publish, background, "ascan")
    saver_device.wait_for_state(tango.DevState.RUNNING)
    yield scan
    scan.let_go()
