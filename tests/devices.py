"""Device servers under test: what clients see of them, and scans that wait in mid-run."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tango

from tango_saver.demo.processes import SaverServer
from tango_saver.demo.publisher import published_channels
from tango_saver.model.scan import ScanState
from tango_saver.sink.verify import difference

SESSION = "device_session"
RECORDINGS = Path(__file__).parent.parent / "resources" / "recordings" / "bliss2"


class Events:
    """The events of one device as they arrive.

    Args:
        proxy: the device.
        attributes: names to subscribe to.
        kind: change or archive events.
        proven: wait until events are known to arrive, so that none is missed from then on.
    """

    def __init__(
        self,
        proxy: tango.DeviceProxy,
        attributes: Sequence[str],
        kind: tango.EventType = tango.EventType.CHANGE_EVENT,
        *,
        proven: bool = True,
    ) -> None:
        self._values: dict[str, list[Any]] = {name.lower(): [] for name in attributes}
        self._arrived = threading.Condition()
        self._proxy = proxy
        self._subscriptions = [proxy.subscribe_event(name, kind, self._take) for name in attributes]
        if proven and kind == tango.EventType.CHANGE_EVENT:
            # the first value is from subscribing; only a second one shows that events come
            self.wait_for(lambda seen: all(len(seen.of(name)) > 1 for name in attributes))

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

    def changes_of(self, attribute: str) -> list[Any]:
        """The values of an attribute so far, each that differs from the one before."""
        return [value for value, _ in itertools.groupby(self.of(attribute))]

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
        self.database.put_device_property(self.name, property_lists(properties))

    def events(self, *attributes: str) -> Events:
        """Subscribe to change events."""
        return Events(self.proxy, attributes)

    def wait_for_state(self, *states: tango.DevState) -> None:
        """Wait, by events, until the device is in one of these states."""
        events = Events(self.proxy, ["State"], proven=False)
        try:
            events.wait_for(lambda seen: seen.of("State") and seen.of("State")[-1] in states)
        finally:
            events.close()


StartDevice = Callable[..., SaverDevice]
Subscribe = Callable[..., Events]
Publish = Callable[..., list[str]]


def property_lists(properties: Mapping[str, str | Sequence[str]]) -> dict[str, list[str]]:
    """As a Tango database takes them."""
    return {
        name: [value] if isinstance(value, str) else list(value)
        for name, value in properties.items()
    }


class HeldScan:
    """A scan that stays open until the test lets it go."""

    def __init__(self, publish: Publish, background: ThreadPoolExecutor, name: str) -> None:
        self.key = ""
        self._started = threading.Event()
        self._go_on = threading.Event()
        self._published: Future[list[str]] = background.submit(publish, name, on_state=self._hold)
        assert self._started.wait(30)

    def _hold(self, key: str, state: ScanState) -> None:
        if state is ScanState.STARTED:
            self.key = key
            self._started.set()
            assert self._go_on.wait(60)

    def let_go(self) -> list[str]:
        """Publish the rest."""
        self._go_on.set()
        return self._published.result(30)


def assert_saved_completely(name: str, file: Path) -> None:
    """Compare every point of a recording with what is in a file."""
    for channel in published_channels(RECORDINGS / f"{name}.json.gz"):
        assert difference(file, channel.dataset, channel.values) == ""
