"""How much to ask Redis for in one call, so that a reply stays near 16 MB.

XREAD takes one COUNT for all its streams, in entries; entries differ in size from stream to
stream by six orders of magnitude, and their size is known only once they were seen. Streams of
small and of large entries are therefore asked for in turns, and the count grows from 1.
"""

from __future__ import annotations

from collections.abc import Iterable

REPLY_SIZE = 16 * 2**20
"""Bytes."""

_ENTRY_OVERHEAD = 256
"""Bytes that an entry costs beside its payload, here and in the reply."""

_LARGE_ENTRY = 2**16
"""Bytes; from here on a stream is asked for apart from those with small entries."""

_GROWTH = 4


class Pacing:
    """Sizes of the entries of the live streams, and the calls that follow from them.

    Args:
        point_sizes: channel -> bytes of one point, as far as known before the first entry.
    """

    def __init__(self, point_sizes: Iterable[tuple[str, int]]) -> None:
        self._sizes = {name: size + _ENTRY_OVERHEAD for name, size in point_sizes}
        self._largest_count = 1
        self._groups: list[tuple[tuple[str, ...], int]] = []
        self._stale = True
        self._turn = 0

    def _arrange(self) -> None:
        """Put the channels into groups, once after many changes."""
        if not self._stale:
            return
        self._stale = False
        self._groups = []
        small = [name for name, size in self._sizes.items() if size < _LARGE_ENTRY]
        large = [name for name, size in self._sizes.items() if size >= _LARGE_ENTRY]
        for names in (small, large):
            group: list[str] = []
            total = 0
            for name in names:
                if group and total + self._sizes[name] > REPLY_SIZE:
                    self._groups.append((tuple(group), total))
                    group, total = [], 0
                group.append(name)
                total += self._sizes[name]
            if group:
                self._groups.append((tuple(group), total))

    @property
    def n_groups(self) -> int:
        """Number of calls that it takes to ask for all streams."""
        self._arrange()
        return len(self._groups)

    @property
    def channels(self) -> tuple[str, ...]:
        """All live channels."""
        return tuple(self._sizes)

    def next_call(self) -> tuple[tuple[str, ...], int]:
        """Channels to ask for, and the COUNT; the groups take turns."""
        self._arrange()
        if not self._groups:
            return (), 1
        names, total = self._groups[self._turn % len(self._groups)]
        self._turn += 1
        return names, max(min(REPLY_SIZE // total, self._largest_count), 1)

    def saw(self, largest_payloads: Iterable[tuple[str, int]]) -> None:
        """Learn from a reply: channel -> bytes of its largest payload in it."""
        for name, payload in largest_payloads:
            if name in self._sizes:
                before = self._sizes[name]
                # Forget a large entry slowly: blocks of very different sizes may alternate.
                now = max(payload + _ENTRY_OVERHEAD, before // 2)
                self._stale |= now != before
                self._sizes[name] = now
        self._largest_count = min(self._largest_count * _GROWTH, REPLY_SIZE)

    def ask_for_less(self) -> None:
        """A reply was too large: from here on one entry of one channel at a time, then more."""
        self._sizes = dict.fromkeys(self._sizes, REPLY_SIZE)
        self._largest_count = 1
        self._stale = True

    def drop(self, name: str) -> None:
        """The channel is not read any more."""
        self._stale |= self._sizes.pop(name, None) is not None
