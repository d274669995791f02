"""The writers that BLISS itself calls, as faces of the saver.

BLISS finds a writer by the class of its device and the property ``session``: ``NexusWriter``
for ``SCAN_SAVING.writer = "nexus"``, ``BlissWriter`` for ``"mapping"``. What it asks while it
prepares a scan is answered from memory; only a scan that was created just now is waited for,
less than a tenth of a second. No answer is an exception, which would end the scan: unknown
scans have answers too.
"""

from __future__ import annotations

import msgspec
from tango import DevState
from tango.server import command, device_property

from tango_saver.control.device import TangoSaver
from tango_saver.control.folders import make_folders
from tango_saver.control.listing import ListingDevice
from tango_saver.control.refusals import refusals
from tango_saver.control.scans import (
    SavedScan,
    disk_error,
    may_be_written,
    present_warnings,
    scan_reason,
    scan_state,
    scan_urls,
)
from tango_saver.control.shown import Snapshot, tango_text
from tango_saver.control.warning_book import WarningBook
from tango_saver.errors import SaverError
from tango_saver.model.status import SaverState

_PATIENCE_S = 0.08
"""Longest wait for a scan that BLISS has just created; it asks again a tenth of a second later."""
_STATES = {
    SaverState.MOVING: DevState.OFF,
    SaverState.ALARM: DevState.ON,
}
"""BLISS starts a scan in ON and RUNNING, refuses it in OFF and FAULT, and waits in all others."""
_LISTENING = frozenset({SaverState.ON, SaverState.RUNNING, SaverState.ALARM})
_SCAN = "Name of a scan, as 12_ascan, or its key in Redis."
_DATA_WRITERS = "Values of SCAN_SAVING.writer whose scans are saved, one per line."


class WriterFace(TangoSaver):
    """What both contracts have in common."""

    def shown_state(self, shown: Snapshot) -> DevState:
        """As BLISS understands it: ON also if somebody should look, OFF also while stopping."""
        state = shown.status.state
        if state is SaverState.ALARM and shown.status.running:
            return DevState.RUNNING
        return _STATES.get(state, DevState.names[state.value])

    def shown_status(self, shown: Snapshot) -> str:
        """In one line: BLISS quotes it to its user."""
        return " ".join(super().shown_status(shown).split())

    def _found(self, name: str, *, patient: bool = False) -> SavedScan | None:
        return self._saver.scan(name, _PATIENCE_S if patient else 0.0)

    def _state_of(self, name: str) -> DevState:
        found = self._found(name)
        if found is None and self._saver.is_asked(name):
            return DevState.INIT
        return scan_state(found)

    def _reason_of(self, name: str) -> str:
        return tango_text(scan_reason(self._found(name)))


class NexusWriter(ListingDevice, WriterFace):
    """Saves the scans of a BLISS session with SCAN_SAVING.writer "nexus"."""

    own_writers = frozenset({"nexus"})

    data_writers = device_property(
        dtype=(str,), default_value=["nexus"], doc=f"{_DATA_WRITERS} Takes effect at Init."
    )

    @command(doc_in=_SCAN, doc_out="Whether the scan is known.")
    def scan_exists(self, name: str) -> bool:
        """Whether the scan is known."""
        return self._found(name, patient=True) is not None

    @command(doc_in=_SCAN, doc_out="Whether nothing forbids to write its file.")
    def scan_has_write_permissions(self, name: str) -> bool:
        """Whether nothing forbids to write its file."""
        return may_be_written(self._found(name))

    @command(doc_in=_SCAN, doc_out="Whether its disk has room for it.")
    def scan_has_required_disk_space(self, name: str) -> bool:
        """Whether its disk has room for it."""
        return not disk_error(self._found(name))

    @command(doc_in=_SCAN, doc_out="Why its disk has no room for it; empty if it has.")
    def scan_disk_space_error(self, name: str) -> str:
        """Why its disk has no room for it."""
        return tango_text(disk_error(self._found(name)))

    @command(doc_in=_SCAN, doc_out="What the user should look at while it runs; empty if nothing.")
    def scan_disk_space_warning(self, name: str) -> str:
        """What the user should look at while it runs."""
        warnings = present_warnings(self._found(name), self._saver.snapshot())
        return tango_text(" ".join("; ".join(warnings).split()))

    @command(doc_in=_SCAN, doc_out="INIT, ON, OFF when it is saved, FAULT if data are missing.")
    def scan_state(self, name: str) -> DevState:
        """State of its saving."""
        return self._state_of(name)

    @command(doc_in=_SCAN, doc_out="Why it is in that state.")
    def scan_state_reason(self, name: str) -> str:
        """Why it is in that state."""
        return self._reason_of(name)

    @command(doc_in=_SCAN, dtype_out=(str,), doc_out="file::/entry of all its entries.")
    def scan_url(self, name: str) -> list[str]:
        """Where it is."""
        return [tango_text(url) for url in scan_urls(self._found(name))]

    @command(doc_in="Absolute path of a folder below the allowed roots; made with those above it.")
    def makedirs(self, path: str) -> None:
        """Make a folder for the session."""
        with refusals("makedirs"):
            make_folders(path, self._saver.snapshot().settings.allowed_roots)

    @command(doc_in=f"{_SCAN} What is there is kept and closed; ignored if it is not being saved.")
    def stop_scan(self, name: str) -> None:
        """End the saving of one scan."""
        found = self._found(name)
        if found is not None and found.key in self._running_keys():
            with refusals("stop_scan"):
                self._saver.stop_scan(found.key)

    @command(doc_in="List no scan any more that is saved by now.")
    def purge_scans(self) -> None:
        """List no scan any more that is saved by now."""
        self._saver.purge()

    def _running_keys(self) -> set[str]:
        return {scan.key for scan in self._saver.snapshot().status.running}


class _WarningRequest(msgspec.Struct):
    scan_key: str
    index: int


class BlissWriter(WriterFace):
    """Saves the scans of a BLISS session with SCAN_SAVING.writer "mapping"."""

    own_writers = frozenset({"mapping"})

    data_writers = device_property(
        dtype=(str,), default_value=["mapping"], doc=f"{_DATA_WRITERS} Takes effect at Init."
    )

    def init_device(self) -> None:
        """Read the properties, see ``TangoSaver``."""
        self._warnings = WarningBook()
        super().init_device()

    @command(doc_in="Key of a scan in Redis.", doc_out="Whether it is or will be saved.")
    def SaveScan(self, key: str) -> bool:
        """Accept a scan; false while the device does not listen."""
        shown = self._saver.snapshot()
        if shown.status.state not in _LISTENING:
            return False
        if self._found(key, patient=True) is None:
            try:
                self._saver.save_scan(key)
            except SaverError:
                return False  # the state says why
            self._found(key, patient=True)
        return True

    @command(doc_in=_SCAN, doc_out="INIT, ON, OFF when it is saved, FAULT if data are missing.")
    def scan_state(self, key: str) -> DevState:
        """State of its saving."""
        return self._state_of(key)

    @command(doc_in=_SCAN, doc_out="Why it is in that state.")
    def scan_state_reason(self, key: str) -> str:
        """Why it is in that state."""
        return self._reason_of(key)

    @command(doc_in="Key of a scan.", doc_out="Number of its warnings so far; 0 if it is unknown.")
    def GetWarningCount(self, key: str) -> int:
        """Number of its warnings so far."""
        found = self._found(key)
        return self._warnings.count(found, self._saver.snapshot())

    @command(
        doc_in='JSON: {"scan_key": KEY, "index": number from 0}.',
        doc_out="The text of that warning; empty if there is none.",
    )
    def GetWarning(self, request: str) -> str:
        """The text of one warning."""
        try:
            wanted = msgspec.json.decode(request.encode("latin-1"), type=_WarningRequest)
        except (msgspec.MsgspecError, UnicodeError):
            return ""
        return tango_text(self._warnings.text(wanted.scan_key, wanted.index))
