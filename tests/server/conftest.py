"""A Tango database, and device servers as Starter runs them."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tango

from tango_saver.control.register import register
from tango_saver.demo.processes import SaverServer, TangoDatabase

SESSION = "device_session"
_numbers = itertools.count(1)


class Events:
    """The events of one device as they arrive.

    Args:
        proxy: the device.
        attributes: names to subscribe to.
        kind: change or archive events.
    """

    def __init__(
        self,
        proxy: tango.DeviceProxy,
        attributes: Sequence[str],
        kind: tango.EventType = tango.EventType.CHANGE_EVENT,
    ) -> None:
        self._values: dict[str, list[Any]] = {name.lower(): [] for name in attributes}
        self._arrived = threading.Condition()
        self._proxy = proxy
        self._subscriptions = [proxy.subscribe_event(name, kind, self._take) for name in attributes]

    def _take(self, event: tango.EventData) -> None:
        if event.err:
            return
        with self._arrived:
            self._values[event.attr_value.name.lower()].append(event.attr_value.value)
            self._arrived.notify_all()

    def of(self, attribute: str) -> list[Any]:
        """The values of an attribute so far; the first one is from subscribing."""
        with self._arrived:
            return list(self._values[attribute.lower()])

    def wait_for(self, holds: Callable[[Events], object], timeout_s: float = 30.0) -> None:
        """Wait until a condition on the events holds, fail after the timeout."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: holds(self), timeout_s):
                pytest.fail(f"events so far: {self._values}; Status: {self._proxy.status()}")

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._proxy.unsubscribe_event(subscription)


@dataclass
class SaverDevice:
    """A running device with its server process."""

    proxy: tango.DeviceProxy
    name: str
    instance: str
    server: SaverServer
    database: tango.Database

    @property
    def admin(self) -> tango.DeviceProxy:
        """The admin device of its server."""
        return tango.DeviceProxy(f"dserver/TangoSaver/{self.instance}")

    def put(self, **properties: str | Sequence[str]) -> None:
        """Change properties in the database."""
        self.database.put_device_property(self.name, _lists(properties))

    def events(self, *attributes: str) -> Events:
        """Subscribe to change events."""
        return Events(self.proxy, attributes)

    def wait_for_state(self, *states: tango.DevState) -> None:
        """Wait, by events, until the device is in one of these states."""
        events = self.events("State")
        try:
            events.wait_for(lambda seen: seen.of("State") and seen.of("State")[-1] in states)
        finally:
            events.close()


StartDevice = Callable[..., SaverDevice]


def _lists(properties: Mapping[str, str | Sequence[str]]) -> dict[str, list[str]]:
    return {
        name: [value] if isinstance(value, str) else list(value)
        for name, value in properties.items()
    }


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
            properties=_lists({"state_directory": str(folder / f"state{number}"), **properties}),
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
def subscribe() -> Iterator[Callable[..., Events]]:
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
