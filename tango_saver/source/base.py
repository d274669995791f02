"""The contract between a source of scans and the engine.

A source has two faces. The conductor uses ``ScanSource`` to hear of new scans;
a worker uses ``ScanReader`` to follow one of them. Both block only in the calls
that have a timeout; under gevent they block their greenlet only. Neither keeps a
thread. Every error is one of ``tango_saver.errors``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tango_saver.model.records import Record
from tango_saver.model.scan import ScanAnnouncement, ScanDescription, ScanKey


@dataclass(frozen=True, slots=True)
class EntryRange:
    """A moment as places in the history, as exactly as the clock of Redis is known here."""

    earliest: str
    """A scan published after the moment comes behind it."""
    latest: str
    """A scan published before the moment does not come behind it."""


class ScanSource(Protocol):
    """Announces the scans of one Redis database."""

    def last_entry(self) -> str:
        """Where the history of scans ends now; new scans come behind it.

        Raises:
            RedisUnreachableError: Redis does not answer.
            ProtocolVersionError: the database is not BLISS's, or too new.
        """

    def entry_at(self, moment: float) -> EntryRange:
        """Where the history of scans stood at a moment of ``time.monotonic()``.

        By the clock of Redis, however late the call is.

        Raises:
            RedisUnreachableError: Redis does not answer.
            ProtocolVersionError: see ``last_entry``.
        """

    def new_scans(
        self, since: str, timeout_s: float
    ) -> tuple[Sequence[ScanAnnouncement], str, Sequence[str]]:
        """Wait for scans behind ``since``.

        Returns:
            the announcements (of all sessions, oldest first, possibly none), the entry to
            go on from, and warnings: one sentence for each scan that was announced but whose
            document cannot be read at all. No scan up to that entry is missing; some behind
            it may have been announced, once by each source.

        Raises:
            RedisUnreachableError: the position stays valid; call again with the same one.
            ProtocolVersionError: see ``last_entry``.
        """

    def describe(self, key: ScanKey) -> ScanDescription:
        """The scan as its document says now.

        Raises:
            ScanNotFoundError: not in Redis, or about to expire.
            DocumentError: names the path of the bad field.
            RedisUnreachableError: Redis does not answer.
        """

    def close(self) -> None:
        """Close the connections; idempotent, may be called while ``new_scans`` waits."""


class ScanReader(Protocol):
    """Follows one scan."""

    def read(self, timeout_s: float) -> Sequence[Record]:
        """The next records, in order; empty if none came within ``timeout_s``.

        One call returns a bounded amount of data (about 16 MB), so that the caller sets the
        pace. After ScanClosed it returns nothing any more.

        Raises:
            RedisUnreachableError: nothing is lost; call again.
            ScanNotFoundError: the scan vanished from Redis while it was read.
            DocumentError: the document became unreadable.
        """

    @property
    def read_until(self) -> float:
        """Everything that was published before this moment was returned by ``read``.

        On the monotonic clock; 0 as long as that can be said of no moment.
        """

    @property
    def kept_s(self) -> float:
        """How long Redis keeps a point of this scan by the length of its streams alone.

        Infinite if their length is not limited, or it is not known how fast they grow.
        """

    def positions(self) -> Mapping[str, int]:
        """Channel -> index of the next point that ``read`` would return."""

    def describe(self) -> ScanDescription:
        """The newest description that the reader has seen.

        Raises:
            SourceError: as ``ScanSource.describe``, if none was seen yet.
        """

    def rest(self) -> None:
        """Give the connection back until the next call; where reading stands stays."""

    def close(self) -> None:
        """Close the connection; idempotent."""
