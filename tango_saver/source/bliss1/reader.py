"""Follows one scan of BLISS 1 to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tango_saver.errors import DocumentError, ScanNotFoundError
from tango_saver.model.records import Record, ScanClosed
from tango_saver.model.scan import ChannelSpec, EndReason, ScanDescription, ScanKey, ScanState
from tango_saver.source.bliss1.channel import ChannelReader
from tango_saver.source.bliss1.description import describe_scan
from tango_saver.source.bliss1.tree import END, PREPARED, event_fields
from tango_saver.source.read_until import EntryRate
from tango_saver.source.stream_reader import Answer, StreamReader
from tango_saver.source.wire import RawEntry

_KEPT_ENTRIES = 2048
"""Of each stream; BLISS 1 drops the oldest beyond that."""
_STATE_WAIT_S = 0.2
"""BLISS 1.8 tells how a scan ended only in its last state, a moment after its end."""
_STATES: Mapping[bytes, ScanState] = {
    b"PREPARED_SCAN": ScanState.PREPARED,
    b"END_SCAN": ScanState.CLOSED,
}


class Bliss1Reader(StreamReader[ChannelReader]):
    """A ``ScanReader`` of a tree of nodes; see ``StreamReader``.

    END_SCAN counts only once every stream of the scan was found empty after it: it never
    overtakes a point.
    """

    _OPENING_WAIT_S = 5.0
    """How long a prepared scan waits for its cameras to say where they save."""
    _NO_EVENTS = "a key of its events is no stream"

    def __init__(
        self,
        url: str,
        key: ScanKey,
        *,
        positions: Mapping[str, int] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        super().__init__(url, key, positions=positions, timeout_s=timeout_s)
        self._cursors = {f"{key}{PREPARED}": "0-0", f"{key}{END}": "0-0"}
        self._dry_at_end = 0
        """Calls in a row that found nothing, all made after END_SCAN was seen."""
        self._rate = EntryRate()

    @property
    def kept_s(self) -> float:
        """How long it takes until an entry is pushed out of its stream by newer ones."""
        return _KEPT_ENTRIES / self._rate.fastest if self._rate.fastest else math.inf

    def _load(self) -> ScanDescription:
        found = describe_scan(self._redis.client, self._key)
        self._description = found.description
        self._is_complete = not found.cameras_waiting
        return found.description

    def _make_channel(self, spec: ChannelSpec, position: int) -> ChannelReader:
        return ChannelReader(spec, position)

    def _event_cursors(self) -> Mapping[str, str]:
        return self._cursors

    def _take_events(self, stream: str, entries: Sequence[RawEntry]) -> None:
        self._cursors[stream] = entries[-1][0].decode()
        events = (event_fields(fields).get(b"__EVENT__", b"") for _, fields in entries)
        self._reached([_STATES[event] for event in events if event in _STATES])

    # -- while the scan is open

    def _follow(self, patience_s: float) -> list[Record]:
        is_over = self._state is ScanState.CLOSED
        if is_over and self._dry_at_end >= max(self._pacing.n_groups, 1):
            return self._closed()
        answer = self._ask(patience_s, may_wait=not is_over)
        # That END_SCAN was seen in this very call says nothing of the streams in it.
        self._dry_at_end = self._dry_at_end + 1 if is_over and not answer.entries else 0
        if not answer.entries and answer.waited:
            self._redis.check_alive()
        return self._records(answer)

    def _records(self, answer: Answer) -> list[Record]:
        records = super()._records(answer)
        for stream, entries in answer.entries.items():
            self._rate.saw(self._by_stream[stream].spec.name, len(entries))
        if not self._more_waits:
            self._rate.caught_up(self.read_until)
        return records

    # -- its end

    def _closed(self) -> list[Record]:
        """Every point was read: end the channels and the scan."""
        opened = self.describe()
        records = self._vanished()
        live = [channel for channel in self._channels.values() if channel.live]
        description = self._last_description(opened)
        for channel in live:
            records += channel.end()
        late = [name for name in description.channels if name not in self._channels]
        if late:
            sentence = f"channels that were announced after the scan began: {', '.join(late)}"
            description = replace(
                description,
                subscans=opened.subscans,
                warnings=(*description.warnings, sentence),
            )
        # What a camera says when it is prepared does not change while a scan runs.
        description = replace(description, channels=opened.channels)
        self._description = description
        self._finished = True
        return [*records, ScanClosed(description)]

    def _vanished(self) -> list[Record]:
        """Streams that a Redis short of memory has dropped, with all their points."""
        live = [channel for channel in self._channels.values() if channel.live]
        present = self._redis.present([channel.spec.stream for channel in live])
        return [
            channel.fail("its stream vanished from Redis: points may be missing")
            for channel, is_there in zip(live, present, strict=True)
            if not is_there
        ]

    def _last_description(self, opened: ScanDescription) -> ScanDescription:
        deadline = time.monotonic() + _STATE_WAIT_S
        try:
            description = self._load()
            while not description.end_reason and time.monotonic() < deadline:
                time.sleep(self._OPENING_PERIOD_S)
                description = self._load()
        except (ScanNotFoundError, DocumentError) as error:
            # Every point was read; the scan shall not be lost for its last page.
            gone = isinstance(error, ScanNotFoundError)
            return replace(
                opened,
                state=ScanState.CLOSED,
                end_reason=EndReason.DELETION.value if gone else opened.end_reason,
                warnings=(*opened.warnings, f"the end could not be read: {error.fact}"),
            )
        return description
