"""Brings the events of a device into the thread of the widgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import taurus
from taurus.core import TaurusEventType
from taurus.external.qt import Qt

from tango_saver.gui.values import plain

_VALUES = frozenset({TaurusEventType.Change, TaurusEventType.Periodic})
_CONTACT = "State"
_GATHERING_MS = 50
"""Events that come together are shown together."""


class DeviceFeed(Qt.QObject):
    """The newest values of a device, kept up to date by its events alone.

    Signals:
        arrived: attribute, value, seconds since the epoch; for every event.
        changed: some values are new, or the contact was lost or found.
    """

    arrived = Qt.pyqtSignal(str, object, float)
    changed = Qt.pyqtSignal()
    _came = Qt.pyqtSignal(str, object, float)
    _failed = Qt.pyqtSignal(str, str)

    def __init__(self, attributes: Sequence[str], parent: Any = None) -> None:
        super().__init__(parent)
        self.values: dict[str, Any] = {}
        self.attributes: dict[str, Any] = {}
        """Those of Taurus, by name."""
        self._names = {name.lower(): name for name in attributes}
        self._troubles: dict[str, str] = {}
        # a connection between threads waits in the queue of the widgets' thread
        self._came.connect(self._take, Qt.Qt.QueuedConnection)
        self._failed.connect(self._lose, Qt.Qt.QueuedConnection)
        self._gathering = Qt.QTimer(self)
        self._gathering.setSingleShot(True)
        self._gathering.setInterval(_GATHERING_MS)
        self._gathering.timeout.connect(self.changed)

    @property
    def trouble(self) -> str:
        """Why the values may be old; empty if they are not.

        Every saver has a state. Another version may lack other attributes, which only leaves
        these unknown.
        """
        return self._troubles.get(_CONTACT, "")

    def follow(self, device: str) -> None:
        """Listen to this device and to no other; an empty name to none."""
        for attribute in self.attributes.values():
            attribute.removeListener(self._on_event)
        self.values, self._troubles, self.attributes = {}, {}, {}
        if device:
            self.attributes = {
                name: taurus.Attribute(f"{device}/{name}") for name in self._names.values()
            }
        for attribute in self.attributes.values():
            attribute.addListener(self._on_event)
        self._announce()

    def _on_event(self, source: Any, kind: Any, value: Any) -> None:
        """Called by Taurus, in threads of Tango's."""
        name = self._names[source.getSimpleName().lower()]
        if kind in _VALUES and value is not None:
            self._came.emit(name, plain(value.rvalue), value.time.totime())
        elif kind == TaurusEventType.Error:
            self._failed.emit(name, _first_line(value))

    def _take(self, name: str, value: object, time_s: float) -> None:
        self._troubles.pop(name, None)
        self.values[name] = value
        self.arrived.emit(name, value, time_s)
        self._announce()

    def _lose(self, name: str, trouble: str) -> None:
        self._troubles[name] = trouble
        self._announce()

    def _announce(self) -> None:
        if not self._gathering.isActive():
            self._gathering.start()


def _first_line(error: Any) -> str:
    """What Tango says of an error."""
    reasons = getattr(error, "args", ())
    text = str(getattr(reasons[0], "desc", error)) if reasons else str(error)
    return text.strip().partition("\n")[0] or type(error).__name__
