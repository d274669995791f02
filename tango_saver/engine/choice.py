"""Which of the scans that are heard of are saved here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """By writer, unless another saver of this process has the scans of that session and writer."""

    writers: frozenset[str]
    """Values of SCAN_SAVING.writer."""
    elsewhere: frozenset[tuple[str, str]] = frozenset()
    """Session and writer of scans that another saver takes."""

    def takes(self, session: str, writer: str) -> bool:
        """Whether a scan of this session with this SCAN_SAVING.writer is saved here."""
        return writer in self.writers and (session, writer) not in self.elsewhere
