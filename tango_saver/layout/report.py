"""What the saver has to report of a scan, as nodes of its entries.

/N.M/writer   NXnote
  data          table with one row per dataset; its attribute ``scan`` is the key in Redis
    channel       full name
    dataset       path, empty if there is none
    published     points that the publisher said there are, -1 if it never did
    received      points
    on_disk       points
    gaps          ``first:stop`` of points that Redis had dropped, separated by blanks
    problem       why a channel is not (wholly) saved, else empty
  description   what went wrong, if anything did; made with the other nodes

No group of its own: validators complain of every member of an NXcollection, some of them of every
member of NXparameters, and an NXnote in another one makes them forget what they found in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tango_saver.layout.metadata import text
from tango_saver.model.plan import FilePlan, Group, Node, Value
from tango_saver.model.report import ChannelReport

NEVER_SAID = -1
"""In ``published``."""
_COLUMNS = (
    ("channel", np.dtype(object)),
    ("dataset", np.dtype(object)),
    ("published", np.dtype(np.int64)),
    ("received", np.dtype(np.int64)),
    ("on_disk", np.dtype(np.int64)),
    ("gaps", np.dtype(object)),
    ("problem", np.dtype(object)),
)
"""Of the table; object is text."""
_DESCRIPTION = (
    "published, received and on_disk count points, -1 if the publisher never said how many; "
    "gaps are those that Redis had dropped, as first:stop"
)


def report_nodes(plan: FilePlan, scan: str, channels: Sequence[ChannelReport]) -> tuple[Node, ...]:
    """The nodes that tell what was published, received and saved.

    Args:
        plan: of the scan's own file.
        scan: its key.
        channels: as they are at its end.
    """
    paths = _paths(plan)
    nodes: list[Node] = []
    known = {node.path for node in plan.nodes}
    for entry in plan.entries:
        rows = [
            (channel, path)
            for channel in channels
            for path in paths.get(channel.name, ("",))
            if path.startswith(f"/{entry}/") or (not path and entry == plan.entries[0])
        ]
        writer = f"/{entry}/writer"
        if writer not in known:
            nodes.append(Group(writer, {"NX_class": "NXnote"}))
        attributes = {"scan": text(scan), "description": _DESCRIPTION}
        nodes.append(Value(f"{writer}/data", _table(rows), attributes))
    return tuple(nodes)


def abandoned_plan(
    target: str, entries: Sequence[str], end_reason: str, sentence: str, now: str
) -> FilePlan:
    """How entries end whose scan cannot be read any more; all else in them stays.

    Args:
        target: path of the file.
        entries: names in its root.
        end_reason: one of ``EndReason``'s values.
        sentence: why, for whoever reads the file.
        now: ISO 8601 with zone.
    """
    nodes: list[Node] = []
    for entry in entries:
        writer = f"/{entry}/writer"
        nodes += [
            Group(writer, {"NX_class": "NXnote"}),
            Value(f"{writer}/status", "FAILED"),
            Value(f"{writer}/date", now),
            Value(f"{writer}/description", text(sentence)),
            Value(f"/{entry}/end_reason", text(end_reason)),
        ]
    return FilePlan(
        target,
        tuple(entries),
        nodes=tuple(nodes),
        last=tuple(Value(f"/{entry}/end_time", now) for entry in entries),
    )


def _paths(plan: FilePlan) -> Mapping[str, tuple[str, ...]]:
    """Channel -> paths of its datasets in this file."""
    paths = {name: tuple(spec.path for spec in specs) for name, specs in plan.streams.items()}
    return paths | {name: (spec.path,) for name, spec in plan.references.items()}


def _table(rows: Sequence[tuple[ChannelReport, str]]) -> npt.NDArray[np.void]:
    return np.array([_row(channel, path) for channel, path in rows], np.dtype(list(_COLUMNS)))


def _row(channel: ChannelReport, path: str) -> tuple[str | int, ...]:
    return (
        text(channel.name),
        text(path),
        NEVER_SAID if channel.published is None else channel.published,
        channel.received,
        channel.on_disk,
        " ".join(f"{gap.first}:{gap.stop}" for gap in channel.gaps),
        text(channel.problem),
    )
