"""Where our files differ from those of the classic writer on purpose.

Rendered as ``resources/docs/intended_differences.md``; make it anew with

    PYTHONPATH=tests python -m file.intended_differences > resources/docs/intended_differences.md
"""

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
        "/*.1/plotselect/rob[xy]",
        "the axes of a grid are the positions that were asked for, not a fit to those reached",
    ),
    IntendedDifference(
        "dtypes",
        "/*.1/instrument/*",
        "a bool channel stopped the classic writer: its datasets end where it happened to stand",
    ),
    IntendedDifference(
        "dtypes",
        "/*.1/writer/status",
        "every dtype is saved, so the status is SUCCEEDED",
    ),
    IntendedDifference(
        "killed",
        "/*.1/end_reason",
        "a scan whose publisher vanished says PUBLISHER_LOST instead of NOT STARTED",
    ),
    IntendedDifference("killed", "/*.1/writer/status", "the points that came are all saved"),
    IntendedDifference(
        "lima2_hdf5",
        "/*.1/instrument/cam2/frame@interpretation",
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
    # BLISS 1: "bliss1/<recording>/<layout>"
    IntendedDifference(
        "bliss1/*/*",
        "/*/scans/*",
        "a soft link is made before the sub-scan ends, and shows in every viewer where it leads",
    ),
    IntendedDifference(
        "bliss1/*/*",
        "/[0-9]*.[0-9]*_*/instrument",
        "a soft link: the instrument of the first entry is still being filled",
    ),
    IntendedDifference(
        "bliss1/*/*",
        "/[0-9]*.[0-9]*_*/scan_meta",
        "a soft link, as for the instrument",
    ),
    IntendedDifference(
        "bliss1/*/nexus",
        "/@creator_version",
        "the creator is another one, and so is its version",
    ),
)


@dataclass(frozen=True)
class IntendedAddition:
    """Something that only our files have: at which path, and why."""

    path: str
    """As in ``IntendedDifference``, with all that is below it."""
    reason: str
    recording: str = "*"


ADDED = (
    IntendedAddition("/@default", "viewers open the newest scan"),
    IntendedAddition("/@creator_version", "the name that NeXus has for it, not create_version"),
    IntendedAddition("/*.[0-9]@default", "viewers open the plot of the scan"),
    IntendedAddition("/*.[0-9]/plot", "every entry with points has a plot, chosen by us"),
    IntendedAddition(
        "/*.[0-9]/plotselect/*@units", "the axes of a mesh keep their units in its plot"
    ),
    IntendedAddition(
        "*@long_name", "silx shows no scatter plot over axes that have a unit but no such name"
    ),
    IntendedAddition(
        "/*.[0-9]/instrument/*/*_lengths", "which values of a row are points and which padding"
    ),
    IntendedAddition(
        "/*.[0-9]/instrument/*/event_count_rate@units", "left out before by a slip of the pen"
    ),
    IntendedAddition(
        "/*.[0-9]/instrument/*/*_missing", "which frames of a detector could not be shown"
    ),
    IntendedAddition(
        "/*.[0-9]/scan_info", "what the user puts into scan_info is kept, also without a category"
    ),
    IntendedAddition(
        "/*.[0-9]/measurement/scan_numbers", "which scans belong to a sequence, as with BLISS 1"
    ),
    IntendedAddition(
        "/*.[0-9]/scans", "links to the scans of a sequence, and why one is not linked"
    ),
    IntendedAddition("/*.[0-9]/scan_parameters", "a count time of 0 is one, too"),
    IntendedAddition(
        "/*.[0-9]/instrument", "there from the start, also of a scan that fails before it has one"
    ),
    IntendedAddition("/*.[0-9]/measurement", "there from the start, also without points"),
    IntendedAddition(
        "/*.1/*",
        "a bool channel stopped the classic writer, and with it every channel behind",
        "dtypes",
    ),
    IntendedAddition(
        "/*.[0-9]/measurement/simcam",
        "frames of other formats are found where all frames are: the table of them is linked, too",
        "lima_edf",
    ),
    IntendedAddition("/*.[0-9]/writer/description", "what went wrong, beside the data"),
    IntendedAddition(
        "/*.[0-9]/writer/data", "a table: what was published of each channel, and what is on disk"
    ),
)

ELSEWHERE = (
    (
        "sub-scans of a sequence in other files",
        "linked in its entry, not in the root of its file: the name there is for a scan of its own",
        "tests/server/test_sequences.py",
    ),
    (
        "a master file that somebody else holds",
        "costs no scan; its link is made when the file is free",
        "tests/server/test_shared_files.py",
    ),
    (
        "channels whose names become the same",
        "are all saved, under names of their own (see names.md)",
        "tests/unit/test_nexus_entries.py",
    ),
    (
        "frames that a camera announced but never saved",
        "are not counted: they would read as fill values",
        "tests/server/test_images.py",
    ),
)
"""What no golden file shows: where, what is different, and the test of it."""


def is_intended(recording: str, path: str) -> bool:
    """Whether a difference at ``path`` is in the table."""
    return any(
        fnmatchcase(recording, difference.recording) and fnmatchcase(path, difference.path)
        for difference in INTENDED
    )


def is_added(recording: str, path: str) -> bool:
    """Whether something that only ours has is in the table."""
    return any(
        fnmatchcase(recording, addition.recording) and fnmatchcase(path, addition.path)
        for addition in ADDED
    )


def rendered() -> str:
    """The tables as Markdown."""
    lines = [
        "# Where our files differ from those of the classic writer",
        "",
        "Made from `tests/file/intended_differences.py`; the tests compare every object of every",
        "golden file, and fail for a difference that is not in here.",
        "",
        "## Different",
        "",
        "| recording | path | reason |",
        "|---|---|---|",
        *(f"| {item.recording} | `{item.path}` | {item.reason} |" for item in INTENDED),
        "",
        "## Only in ours",
        "",
        "| recording | path | reason |",
        "|---|---|---|",
        *(f"| {item.recording} | `{item.path}` | {item.reason} |" for item in ADDED),
        "",
        "## What no golden file shows",
        "",
        "| what | difference | test |",
        "|---|---|---|",
        *(f"| {what} | {difference} | `{test}` |" for what, difference, test in ELSEWHERE),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(rendered(), end="")  # noqa: T201 - that is what it is run for
