"""The one thread that pushes the events of all devices of the server.

Commands and the saver only leave a snapshot here and go on: pushing needs the monitor of
the device, which the command that is being carried out holds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field

import tango
from tango.server import Device

from tango_saver.control.renewals import Renewals
from tango_saver.control.shown import ShownAttribute, Snapshot, Value, shown_attributes

_log = logging.getLogger(__name__)
_STATE = "State"
_STATUS = "Status"
_PATIENCE_S = 30.0
"""A device whose commands keep its monitor for longer misses events."""
_LONGEST_PUSH_S = 5.0
"""Tango itself gives up after 3.2 s."""
_LOOK_AGAIN_S = 0.02
"""How soon a device that is being restarted is looked at again."""
_SETTLING_S = 0.5
"""Tango tells a restarted device of its subscribers a moment after it calls it restarted."""


@dataclass(eq=False)
class _Audience:
    """One attached device: what is to be pushed, and what was."""

    name: str
    device: Device
    attributes: dict[str, ShownAttribute]
    waiting: deque[Snapshot] = field(default_factory=deque)
    is_stale: bool = True
    """Whether the device is to be asked for its snapshot once nothing waits."""
    usable_from: float | None = 0.0
    """Monotonic time; None as long as Tango is making the device anew."""
    pushed: dict[str, str] = field(default_factory=dict)
    """What was pushed last, as text: NaN differs from itself, its text does not."""
    renewals: Renewals = field(default_factory=Renewals)


class EventPublisher:
    """Pushes change and archive events; every state in its order, of values the newest.

    Change events are renewed, see ``Renewals``.

    A snapshot replaces the one that waits, unless the state differs: a client sees every
    state, and with each state the values that belong to it. The state is pushed last: who
    waits for it finds all else up to date.
    """

    def __init__(self) -> None:
        self._audiences: dict[str, _Audience] = {}
        self._names: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._in_push: Device | None = None

    def attach(self, device: Device) -> None:
        """Declare the events of the device and begin to push; all values count as new."""
        attributes = shown_attributes(type(device))
        for attribute in (*attributes, _STATE, _STATUS):
            device.set_change_event(attribute, True, False)  # noqa: FBT003 - Tango's signature
            device.set_archive_event(attribute, True, False)  # noqa: FBT003 - Tango's signature
        name = device.get_name()
        with self._changed:
            # before its first start a device has no subscribers that Tango has to remember
            is_restarted = name in self._names and not is_alive(device)
            self._names.add(name)
            self._audiences[name] = _Audience(
                name, device, attributes, usable_from=None if is_restarted else 0.0
            )
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="events", daemon=True)
                self._thread.start()

    def detach(self, device: Device) -> None:
        """Push nothing any more for this device; what waits is dropped.

        A device that will be destroyed is not used any more when this returns.
        """
        with self._changed:
            audience = self._audiences.get(device.get_name())
            if audience is not None and audience.device is device:
                del self._audiences[device.get_name()]
            # At Init the device stays, and a push may be waiting for the monitor held here.
            if not is_alive(device) and not self._changed.wait_for(
                lambda: self._in_push is not device, _LONGEST_PUSH_S
            ):
                _log.error("an event of %s is still being pushed", device.get_name())

    def put(self, device_name: str, snapshot: Snapshot) -> None:
        """Leave a snapshot to be pushed; never waits, may be called from every thread."""
        with self._changed:
            audience = self._audiences.get(device_name)
            if audience is None:
                return
            waiting = audience.waiting
            if waiting and waiting[-1].status.state is snapshot.status.state:
                waiting.pop()
            waiting.append(snapshot)
            self._changed.notify()

    def refresh(self, device_name: str) -> None:
        """Ask the device for its snapshot once nothing waits, and push what changed."""
        with self._changed:
            audience = self._audiences.get(device_name)
            if audience is not None:
                audience.is_stale = True
                self._changed.notify()

    def _run(self) -> None:
        with tango.EnsureOmniThread():
            while True:
                audience, snapshot = self._next()
                try:
                    self._publish(audience, snapshot or audience.device.snapshot())
                except Exception:  # noqa: BLE001 - the thread serves all devices and must not end
                    _log.exception("events of %s could not be pushed", audience.name)

    def _next(self) -> tuple[_Audience, Snapshot | None]:
        with self._changed:
            while True:
                waiting = [
                    audience
                    for audience in self._audiences.values()
                    if audience.waiting or audience.is_stale
                ]
                for audience in waiting:
                    if not _is_usable(audience):
                        continue
                    if audience.waiting:
                        return audience, audience.waiting.popleft()
                    audience.is_stale = False
                    return audience, None
                self._changed.wait(_LOOK_AGAIN_S if waiting else self._until_renewal())
                for audience in self._audiences.values():
                    audience.is_stale |= time.monotonic() >= audience.renewals.next_at

    def _until_renewal(self) -> float | None:
        """Seconds until the first device's values are pushed again; None without devices."""
        first = min(
            (audience.renewals.next_at for audience in self._audiences.values()), default=None
        )
        return None if first is None else max(first - time.monotonic(), 0.0)

    def _publish(self, audience: _Audience, snapshot: Snapshot) -> None:
        values: dict[str, Value | tango.DevState] = {
            name: shown.value(snapshot) for name, shown in audience.attributes.items()
        }
        values[_STATUS] = audience.device.shown_status(snapshot)
        values[_STATE] = audience.device.shown_state(snapshot)
        now = time.monotonic()
        for name, value in values.items():
            text = repr(value)
            is_new = audience.pushed.get(name) != text
            if is_new or audience.renewals.is_due(name, now):
                self._push(audience, name, value, is_new=is_new)
            if is_new:
                audience.pushed[name] = text
                audience.renewals.changed(name, now)
        audience.renewals.done(now)

    def _push(self, audience: _Audience, name: str, value: object, *, is_new: bool) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while self._begin_push(audience):
            try:
                _push_once(audience.device, name, value, is_new=is_new)
            except tango.DevFailed as error:
                # a command has kept the monitor for more than three seconds
                if time.monotonic() > deadline:
                    raise
                _log.warning("event of %s is late: %s", name, error.args[0].desc)
            else:
                return
            finally:
                self._end_push()

    def _begin_push(self, audience: _Audience) -> bool:
        """Whether the device may be used, which is so until ``_end_push``."""
        with self._changed:
            if self._audiences.get(audience.name) is not audience:
                return False
            self._in_push = audience.device
            return True

    def _end_push(self) -> None:
        with self._changed:
            self._in_push = None
            self._changed.notify_all()


def _is_usable(audience: _Audience) -> bool:
    """Whether events reach the clients."""
    if not is_alive(audience.device):
        return False
    if audience.usable_from is None:
        audience.usable_from = time.monotonic() + _SETTLING_S
    return time.monotonic() >= audience.usable_from


def is_alive(device: Device) -> bool:
    """Whether Tango is neither making nor destroying the device: only then it may be used.

    Events that are pushed while a device is being restarted are lost or end the server.
    """
    server = tango.Util.instance()
    return not (
        server.is_svr_starting()
        or server.is_svr_shutting_down()
        or server.is_device_restarting(device.get_name())
    )


def _push_once(device: Device, name: str, value: object, *, is_new: bool) -> None:
    # events of these two carry what the device was told last, whatever value is pushed
    if name == _STATE:
        device.set_state(value)
    elif name == _STATUS:
        device.set_status(value)
    device.push_change_event(name, value)
    if is_new:
        device.push_archive_event(name, value)
