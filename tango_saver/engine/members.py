"""Follows what becomes of the sub-scans of a sequence, so that its entry can lead to theirs.

A link is made once the entry is in the file: none ever dangles. Sub-scans that have no entry,
and will have none, are named with the reason.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import gevent

from tango_saver.engine.open_targets import OpenTargets
from tango_saver.errors import DocumentError, ScanNotFoundError, SinkError, SourceError
from tango_saver.layout import Member, entry_names
from tango_saver.model.records import SubscanAnnounced
from tango_saver.model.report import ChannelReport, Gap
from tango_saver.model.scan import ChannelKind, ScanDescription, ScanKey
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.file import entries_of
from tango_saver.sink.paths import check_target
from tango_saver.source.base import ScanSource
from tango_saver.source.factory import open_source

_LOOK_EVERY_S = 1.0
_LAST_PATIENCE_S = 10.0
"""How long entries are waited for when the sequence is over."""
_LAST_LOOKS_S = 0.2


@dataclass(slots=True)
class _Known:
    key: ScanKey
    member: Member
    settled: bool = False
    """Nothing more is to be found out."""


class Members:
    """The sub-scans of one scan; without any it does nothing.

    Args:
        settings: which scans are saved at all.
        targets: the files of this worker.
    """

    def __init__(self, settings: SaverSettings, targets: OpenTargets) -> None:
        self._settings = settings
        self._targets = targets
        self._source: ScanSource | None = None
        self._known: list[_Known] = []
        self._channels: dict[str, ChannelReport] = {}
        self._look_after = 0.0
        self._changed = False
        self._warnings: list[str] = []

    @property
    def members(self) -> tuple[Member, ...]:
        """In the order in which they were announced."""
        return tuple(known.member for known in self._known)

    def expect(self, description: ScanDescription) -> None:
        """Have the channels of sub-scans of this scan in the report."""
        for channel in description.channels.values():
            if channel.kind is ChannelKind.SUBSCANS and not channel.problem:
                self._channels.setdefault(channel.name, ChannelReport(channel.name, None, 0, 0))

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    def announced(self, record: SubscanAnnounced) -> None:
        """The sequence has one more sub-scan."""
        self._known.append(_Known(record.key, Member(record.number)))
        report = self._channels[record.channel]
        self._channels[record.channel] = replace(
            report, received=report.received + 1, on_disk=report.on_disk + 1
        )
        self._changed = True
        self._look_after = 0.0

    def lost(self, channel: str, first: int, stop: int) -> None:
        """Sub-scans were dropped by Redis before they could be read."""
        report = self._channels[channel]
        self._channels[channel] = replace(report, gaps=(*report.gaps, Gap(first, stop)))
        self._warnings.append(
            f"channel {channel}: sub-scans {first} to {stop - 1} of the sequence were dropped by "
            "Redis before they could be read"
        )

    def ended(self, channel: str, n_subscans: int) -> None:
        """The sequence has no more."""
        self._channels[channel] = replace(self._channels[channel], published=n_subscans)

    def failed(self, channel: str, reason: str) -> None:
        """Further sub-scans cannot be read."""
        self._channels[channel] = replace(self._channels[channel], problem=reason)

    def warnings(self) -> tuple[str, ...]:
        """What of the sequence is not known, one sentence each."""
        return tuple(self._warnings)

    def reports(self) -> tuple[ChannelReport, ...]:
        """The channels of sub-scans, counted in sub-scans."""
        return tuple(self._channels.values())

    def look(self) -> bool:
        """Find out what has become of them, now and then; whether anything is new."""
        if time.monotonic() >= self._look_after:
            self._look_after = time.monotonic() + _LOOK_EVERY_S
            for known in self._known:
                if not known.settled:
                    self._find_out(known)
        changed, self._changed = self._changed, False
        return changed

    def finish(self) -> None:
        """The sequence is over: wait for entries that may still come, and judge."""
        deadline = time.monotonic() + _LAST_PATIENCE_S
        while True:
            self._look_after = 0.0
            self.look()
            waiting = [known for known in self._known if not known.settled]
            if not waiting or time.monotonic() > deadline:
                break
            gevent.sleep(_LAST_LOOKS_S)
        for known in waiting:
            self._set(known, replace(known.member, problem=_no_entry(known.member)))
        self.close()

    def close(self) -> None:
        """Close the connection; idempotent."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _find_out(self, known: _Known) -> None:
        if self._source is None:
            self._source = open_source(self._settings)
        try:
            description = self._source.describe(known.key)
        except ScanNotFoundError:
            self._set(known, replace(known.member, problem="it is not in Redis any more"))
            return
        except DocumentError as error:
            self._set(known, replace(known.member, problem=error.fact))
            return
        except SourceError:
            return  # Redis is away, for now
        reason = self._why_not(description)
        target = description.target
        entries = entry_names(self._settings.layout, description)
        present = () if reason else self._present(target, entries)
        member = Member(description.number, description.label, target, present, reason)
        if member != known.member or reason or present == entries:
            self._set(known, member, settled=bool(reason) or present == entries)

    def _why_not(self, description: ScanDescription) -> str:
        settings = self._settings
        if not description.saved:
            return "the session does not save it"
        if not settings.covers(description.session):
            return f"it belongs to the session {description.session}"
        if description.writer not in settings.data_writers:
            return f"it is left to the writer {description.writer!r}"
        return ""

    def _present(self, target: str, entries: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the entries that are in the file now."""
        try:
            path = check_target(target, self._settings.allowed_roots)
            names = self._names(path)
        except SinkError:
            return ()
        return tuple(entry for entry in entries if entry in names)

    def _names(self, path: Path) -> frozenset[str]:
        open_target = self._targets.find(path)
        if open_target is None:
            return entries_of(path)
        with open_target.use() as file:
            return frozenset(file.entry_names())

    def _set(self, known: _Known, member: Member, *, settled: bool = True) -> None:
        known.settled = settled
        if member != known.member:
            known.member = member
            self._changed = True


def _no_entry(member: Member) -> str:
    if member.entries:
        return f"{member.target} has only its entries {', '.join(member.entries)}"
    return f"{member.target or 'its file'} has no entry of it"
