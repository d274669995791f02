"""Follows one scan of BLISS >= 2 to its end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tango_saver.errors import DocumentError, ScanNotFoundError
from tango_saver.model.records import Record, ScanClosed
from tango_saver.model.scan import ChannelSpec, EndReason, ScanDescription, ScanKey, ScanState
from tango_saver.source.bliss2.channel import ChannelReader
from tango_saver.source.bliss2.document import decode_document
from tango_saver.source.bliss2.wire import get_document, states
from tango_saver.source.stream_reader import StreamReader
from tango_saver.source.wire import RawEntry

_SEAL_GRACE_S = 1.0
"""BLISS ends every stream before it closes the scan; others may be a moment late."""


class Bliss2Reader(StreamReader[ChannelReader]):
    """A ``ScanReader`` of one document and the streams that it names; see ``StreamReader``.

    The scan is over once it is closed and every stream has told its end.
    """

    _OPENING_WAIT_S = 0.2
    """How long a document is read again that names channels without a stream (yet)."""
    _NO_EVENTS = "the key is no stream: $.state_stream.pk"

    def __init__(
        self,
        url: str,
        key: ScanKey,
        *,
        positions: Mapping[str, int] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        super().__init__(url, key, positions=positions, timeout_s=timeout_s)
        self._is_final = False
        """The description was read when the scan was known to be closed."""
        self._state_cursor = "0-0"

    @property
    def kept_s(self) -> float:
        """BLISS >= 2 does not limit the length of a stream."""
        return math.inf

    def _load(self) -> ScanDescription:
        description = decode_document(
            get_document(self._redis.client, self._key), self._key, self._state
        )
        self._description = description
        self._is_complete = not description.missing_channels
        self._is_final = self._state is ScanState.CLOSED
        return description

    def _make_channel(self, spec: ChannelSpec, position: int) -> ChannelReader:
        return ChannelReader(spec, position)

    def _event_cursors(self) -> Mapping[str, str]:
        return {self.describe().state_stream: self._state_cursor}

    def _take_events(self, stream: str, entries: Sequence[RawEntry]) -> None:
        del stream
        self._state_cursor = entries[-1][0].decode()
        self._reached(states(entries))

    def _follow(self, patience_s: float) -> list[Record]:
        if self._state is ScanState.CLOSED:
            if not self._pacing.channels:
                return [self._closed()]
            patience_s = min(patience_s, self._last_sign + _SEAL_GRACE_S - time.monotonic())
        answer = self._ask(patience_s)
        if not answer.entries and answer.waited:
            return self._silence()
        return self._records(answer)

    def _silence(self) -> list[Record]:
        if self._state is not ScanState.CLOSED:
            self._redis.check_alive()
            return []
        if time.monotonic() < self._last_sign + _SEAL_GRACE_S:
            return []
        return [
            self._drop(name, "the scan is closed but the stream has no end: points may be missing")
            for name in self._pacing.channels
        ]

    def _closed(self) -> ScanClosed:
        opened = self.describe()
        try:
            description = opened if self._is_final else self._load()
        except (ScanNotFoundError, DocumentError) as error:
            # Every point was read; the scan shall not be lost for its last page.
            gone = isinstance(error, ScanNotFoundError)
            self._description = description = replace(
                opened,
                state=ScanState.CLOSED,
                end_reason=opened.end_reason or (EndReason.DELETION.value if gone else ""),
                warnings=(*opened.warnings, f"the final document could not be used: {error.fact}"),
            )
        self._finished = True
        return ScanClosed(description)
