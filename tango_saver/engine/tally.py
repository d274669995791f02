"""Counts the points of one scan, per channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tango_saver.model.report import ChannelReport, Gap

_NAMED = 3
"""Channels with a problem that a report's error spells out."""


@dataclass
class _Channel:
    published: int | None = None
    received: int = 0
    gaps: list[Gap] = field(default_factory=list)


class Tally:
    """What was published, received and lost so far."""

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}
        self.problems: dict[str, str] = {}
        """Channel -> why it is not, or not wholly, in the file."""

    def expect(self, channels: Iterable[str]) -> None:
        """Have these channels in the report, whether anything comes of them or not."""
        for name in channels:
            self._channels.setdefault(name, _Channel())

    def resumed(self, channel: str, on_disk: int, gaps: Iterable[Gap]) -> None:
        """An earlier attempt has written so many rows, with these gaps among them."""
        known = self._channel(channel)
        known.gaps = [Gap(gap.first, min(gap.stop, on_disk)) for gap in gaps if gap.first < on_disk]
        known.received = on_disk - _size(known.gaps)

    def received(self, channel: str, n_points: int) -> None:
        """Points came."""
        self._channel(channel).received += n_points

    def gap(self, channel: str, first: int, stop: int) -> None:
        """Points will never come."""
        self._channel(channel).gaps.append(Gap(first, stop))

    def ended(self, channel: str, n_points: int) -> None:
        """The publisher has sealed the channel."""
        self._channel(channel).published = n_points

    def failed(self, channel: str, reason: str) -> None:
        """Nothing more of this channel is read or written; the first reason counts."""
        self._channel(channel)
        self.problems.setdefault(channel, reason)

    def reports(self, lengths: Mapping[str, int]) -> tuple[ChannelReport, ...]:
        """The channels, counted out against the rows in the file.

        Args:
            lengths: channel -> rows on disk, gaps included.
        """
        return tuple(
            self._report(name, known, lengths.get(name, 0))
            for name, known in self._channels.items()
        )

    def _channel(self, name: str) -> _Channel:
        return self._channels.setdefault(name, _Channel())

    def _report(self, name: str, known: _Channel, length: int) -> ChannelReport:
        lost = _size(known.gaps)
        on_disk = max(0, length - lost)
        problem = self.problems.get(name, "")
        if not problem and on_disk != known.received:
            problem = f"{known.received} points were received, {on_disk} are on disk"
        if not problem and known.published not in (None, known.received + lost):
            problem = f"{known.published} points were published, {known.received} came"
        return ChannelReport(
            name=name,
            published=known.published,
            received=known.received,
            on_disk=on_disk,
            gaps=tuple(known.gaps),
            problem=problem,
        )


def merged_gaps(gaps: Iterable[Gap]) -> list[Gap]:
    """The same points, in order and each in one gap only."""
    merged: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: gap.first):
        if merged and gap.first <= merged[-1].stop:
            merged[-1] = Gap(merged[-1].first, max(merged[-1].stop, gap.stop))
        else:
            merged.append(gap)
    return merged


def problems_of(channels: Sequence[ChannelReport]) -> tuple[str, ...]:
    """One sentence for each channel that is not, or not wholly, in the file."""
    return tuple(f"{channel.name}: {channel.problem}" for channel in channels if channel.problem)


def problem_sentence(channels: Sequence[ChannelReport]) -> str:
    """The problems of all channels as the error of their scan; empty if there are none."""
    problems = problems_of(channels)
    if not problems:
        return ""
    more = len(problems) - _NAMED
    return (
        f"{len(problems)} of {len(channels)} channels are not (wholly) saved: "
        + "; ".join(problems[:_NAMED])
        + (f"; and {more} more" if more > 0 else "")
    )


def _size(gaps: Iterable[Gap]) -> int:
    return sum(gap.stop - gap.first for gap in gaps)
