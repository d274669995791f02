"""Datasets of channels that only the newest plan has: their points are read once more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from tango_saver.engine.patient_reader import PatientReader
from tango_saver.model.plan import FilePlan
from tango_saver.model.records import ChannelEnded, GapFound, PointsArrived, ScanClosed
from tango_saver.model.settings import SaverSettings

_SILENCE_S = 5.0
"""How long the next of them may take."""


def missing_datasets(plan: FilePlan, known: Collection[str]) -> FilePlan:
    """A plan of those datasets of channels that are not among the known paths."""
    missing = {
        channel: tuple(spec for spec in specs if spec.path not in known)
        for channel, specs in plan.streams.items()
    }
    streams = {channel: specs for channel, specs in missing.items() if specs}
    return FilePlan(plan.target, entries=(), streams=streams)


def read_again(
    key: str,
    settings: SaverSettings,
    channels: Iterable[str],
    lengths: Mapping[str, int],
    take: Callable[[PointsArrived | GapFound], None],
) -> None:
    """Read channels of a scan from their beginning.

    Args:
        key: of the scan.
        settings: URL and timeouts.
        channels: full names.
        lengths: channel -> points that are enough; 0 or absent: up to the channel's end.
        take: called with what comes.

    Raises:
        SaverError: the scan cannot be read any more; or what ``take`` raises.
    """
    waiting = set(channels)
    reader = PatientReader(key, settings, {})
    try:
        while waiting and reader.silent_s < _SILENCE_S:
            for record in reader.read():
                match record:
                    case PointsArrived(channel, first, points) if channel in waiting:
                        take(record)
                        stop = first + len(points)
                    case GapFound(channel, _, stop) if channel in waiting:
                        take(record)
                    case ChannelEnded(channel, stop):
                        waiting.discard(channel)
                    case ScanClosed():
                        return
                    case _:
                        continue
                if lengths.get(channel) and stop >= lengths[channel]:
                    waiting.discard(channel)
    finally:
        reader.close()
