"""The snapshots of the session's motors, below ``instrument``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tango_saver.layout.metadata import static_value, text
from tango_saver.layout.naming import link_name
from tango_saver.layout.tree import EntryTree
from tango_saver.model.scan import Json, Positioners

COLLECTIONS = (
    "positioners",
    "positioners_start",
    "positioners_end",
    "positioners_dial_start",
    "positioners_dial_end",
)


def add_positioners(tree: EntryTree, positioners: Positioners, scanned: Iterable[str]) -> None:
    """Add every snapshot that BLISS sent.

    ``positioners`` holds the start positions; those of ``scanned`` are replaced by links
    when their first points arrive, so the group is there if any motor moves.
    """
    instrument = f"{tree.root}/instrument"
    snapshots = {
        "positioners_start": positioners.start,
        "positioners_end": positioners.end,
        "positioners_dial_start": positioners.dial_start,
        "positioners_dial_end": positioners.dial_end,
    }
    for name, positions in snapshots.items():
        if positions:
            _add_snapshot(tree, f"{instrument}/{name}", positions, positioners.units)
    if positioners.start or any(scanned):
        _add_snapshot(tree, f"{instrument}/positioners", positioners.start, positioners.units)


def _add_snapshot(
    tree: EntryTree, path: str, positions: Mapping[str, Json], units: Mapping[str, str]
) -> None:
    tree.group(path, "NXcollection")
    for motor, position in positions.items():
        unit = units.get(motor, "")
        tree.value(
            f"{path}/{link_name(motor)}",
            static_value(position),
            {"units": text(unit)} if unit else {},
        )
