"""The moment of a scan's life that a plan is made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
