"""Where our files differ from those of the classic writer on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class IntendedDifference:
    """One difference: in which recording, at which path, and why."""

    recording: str
    path: str
    """Of an object, or ``<path>@<name>`` of an attribute; ``*`` matches anything."""
    reason: str


INTENDED = (
    IntendedDifference(
        "plotselect",
        "/20.1/plotselect/rob[xy]",
        "the axes of a grid are the positions that were asked for, not a fit to those reached",
    ),
    IntendedDifference(
        "dtypes",
        "/227.1/instrument/*",
        "a bool channel stopped the classic writer: its datasets end where it happened to stand",
    ),
    IntendedDifference(
        "dtypes",
        "/227.1/writer/status",
        "every dtype is saved, so the status is SUCCEEDED",
    ),
    IntendedDifference(
        "killed",
        "/232.1/end_reason",
        "a scan whose publisher vanished says PUBLISHER_LOST instead of NOT STARTED",
    ),
    IntendedDifference("killed", "/232.1/writer/status", "the points that came are all saved"),
    IntendedDifference(
        "lima2_hdf5",
        "/17.1/instrument/cam2/frame@interpretation",
        "a frame of one channel is an image, and viewers show it as one",
    ),
    IntendedDifference(
        "quick200",
        "/@default",
        "several scans overlap: the newest is the default, not the one that happened to end last",
    ),
    IntendedDifference(
        "sequence",
        "/@default",
        "the file opens with its newest scan; a sequence is older than its sub-scans",
    ),
    IntendedDifference(
        "parallel",
        "/@default",
        "several scans overlap: the newest is the default, not the one that happened to end last",
    ),
)


def is_intended(recording: str, path: str) -> bool:
    """Whether a difference at ``path`` is in the table."""
    return any(
        difference.recording == recording and fnmatchcase(path, difference.path)
        for difference in INTENDED
    )
