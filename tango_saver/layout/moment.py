"""The moment of a scan's life that a plan is made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """A sub-scan of a sequence, and what has become of it so far."""

    number: int
    label: str = ""
    """Number and name, as the BLISS shell shows them; empty if not even that is known."""
    target: str = ""
    """The file that its entries are in, or shall be."""
    entries: tuple[str, ...] = ()
    """Those that are in the file."""
    problem: str = ""
    """Why there is no entry, and will be none; empty if there is or may be."""

    @property
    def sentence(self) -> str:
        """The problem, with the scan that has it."""
        return f"sub-scan {self.label or self.number} is not linked: {self.problem}"


@dataclass(frozen=True, slots=True)
class Moment:
    """What the engine knows and the description does not."""

    writer_status: str
    """STARTING, RUNNING, SUCCEEDED or FAILED; FAILED means that we could not save all."""
    date: str
    """Now, ISO 8601 with zone."""
    end_time: str = ""
    """When all points were on disk, ISO 8601 with zone; empty as long as they are not."""
    end_reason: str = ""
    """Why the scan ended; empty for what the description says."""
    n_points: Mapping[str, int] | None = None
    """Channel name -> points on disk, once no more will come; None before. Plots get their
    axes only then: signals and axes must have the same length."""
    warnings: tuple[str, ...] = ()
    """What is to be read beside the data (gaps, failed channels), each one sentence."""
    allowed_roots: tuple[str, ...] = ()
    """Folders below which absolute names of files in a map must lie; empty allows all."""
    members: tuple[Member, ...] = ()
    """The sub-scans of a sequence, in the order in which it announced them."""
