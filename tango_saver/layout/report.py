"""What the saver has to report of a scan, as nodes of its entries.

/N.M/writer/report   NXcollection
  scan                 key of the scan in Redis
  channels             one row per dataset: the channel
  datasets             its path, empty if it has none
  published            points that the publisher said there are, -1 if it never did
  received, on_disk    points
  gaps                 (n, 3): row, first point that Redis had dropped, the one after the last
  problems             why a channel is not (wholly) saved, else empty
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tango_saver.layout.metadata import text
from tango_saver.model.plan import FilePlan, Group, Node, Value
from tango_saver.model.report import ChannelReport

NEVER_SAID = -1
"""In ``published``."""


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
        nodes.append(Group(f"{writer}/report", {"NX_class": "NXcollection"}))
        nodes += _report(f"{writer}/report", scan, rows)
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
            Value(f"{writer}/data", text(sentence)),
            Value(f"{writer}/type", "text/plain"),
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


def _report(group: str, scan: str, rows: Sequence[tuple[ChannelReport, str]]) -> Iterator[Value]:
    yield Value(f"{group}/scan", text(scan))
    if not rows:
        return
    channels = [channel for channel, _ in rows]
    yield Value(f"{group}/channels", tuple(text(channel.name) for channel in channels))
    yield Value(f"{group}/datasets", tuple(text(path) for _, path in rows))
    published = [
        NEVER_SAID if channel.published is None else channel.published for channel in channels
    ]
    yield Value(f"{group}/published", np.array(published, np.int64))
    yield Value(f"{group}/received", np.array([c.received for c in channels], np.int64))
    yield Value(f"{group}/on_disk", np.array([c.on_disk for c in channels], np.int64))
    gaps = [
        (row, gap.first, gap.stop) for row, channel in enumerate(channels) for gap in channel.gaps
    ]
    if gaps:
        yield Value(f"{group}/gaps", np.array(gaps, np.int64))
    if any(channel.problem for channel in channels):
        yield Value(f"{group}/problems", tuple(text(channel.problem) for channel in channels))
