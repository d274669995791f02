"""Follows the frames of a scan that detectors save themselves.

What a detector says it has saved counts only once the file was looked at: it must be there
and hold what was published. A file that is late is waited for a while, later ones behind it.
Nothing of the frames is read.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import gevent

from tango_saver.engine.scan_files import ScanFiles
from tango_saver.errors import DatasetError, LayoutError
from tango_saver.layout.references import FrameFiles, frame_files
from tango_saver.model.plan import FilePlan, FrameRun, ReferenceDataset
from tango_saver.model.report import ChannelReport
from tango_saver.model.scan import Json, ScanDescription
from tango_saver.sink.sources import Source

_LOG = logging.getLogger(__name__)

_SHOW_EVERY_S = 0.25
_SHOW_SHARE = 20
"""A dataset is made anew at most every so many times what it took the last time."""
_PATIENCE_S = 10.0
"""How long a file that should be there is waited for, before later ones are looked at."""
_LAST_PATIENCE_S = 3.0
"""How long late files are waited for when the scan is over."""
_RETRY_S = 0.2
_TURN_S = 0.05
"""How long files are looked at without a turn for other scans."""
_NAMED = 5
"""Files with frames that are missing that are named one by one."""


@dataclass(slots=True)
class _Seen:
    """A run of frames, and what was found of it."""

    run: FrameRun
    source: Source

    def goes_on_with(self, run: FrameRun) -> bool:
        """Whether that follows in the same file, and nothing is missing before it."""
        mine = self.run
        return (
            mine.file == run.file
            and mine.first_frame + mine.n_frames == run.first_frame
            and self.source.n_frames == mine.n_frames
        )


class _Channel:
    """One channel: what is announced, what was looked at, what is shown."""

    def __init__(self, files: FrameFiles, spec: ReferenceDataset) -> None:
        self.files = files
        self.spec = spec
        self.acquired = 0
        self.saved = 0
        self.ended = False
        self.problem = ""
        self.seen: list[_Seen] = []
        self.n_seen = 0
        """Frames looked at, missing ones among them."""
        self.n_good = 0
        self.waiting_since = 0.0
        self.changed = False
        self.show_after = 0.0
        self.look_after = 0.0

    def add(self, run: FrameRun, source: Source) -> None:
        """More frames were looked at; those that go on in the same file are one run."""
        self.n_seen += run.n_frames
        self.n_good += source.n_frames
        self.changed = True
        last = self.seen[-1] if self.seen else None
        if last is not None and last.goes_on_with(run):
            n_before = last.run.n_frames
            last.run = replace(last.run, n_frames=n_before + run.n_frames)
            last.source = replace(source, n_frames=n_before + source.n_frames)
        else:
            self.seen.append(_Seen(run, source))

    def runs(self) -> list[FrameRun]:
        """What the dataset shows: of a table all frames, else those that can be read.

        Files that are not there yet when a scan is over stay among the sources: once they
        come, their frames appear. A wrong file must not, it would make all unreadable.
        """
        if not self.spec.source:
            return [item.run for item in self.seen]
        runs = []
        for item in self.seen:
            run, n_frames = item.run, item.source.n_frames
            if item.source.absent:
                n_frames = run.n_frames
            if n_frames == run.n_frames:
                runs.append(run)
            elif n_frames:
                runs.append(FrameRun(run.file, run.first_frame, n_frames, run.first_point))
        return runs

    def missing(self) -> list[tuple[int, int]]:
        """Ranges of frames that cannot be read, neighbours joined."""
        ranges: list[tuple[int, int]] = []
        for item in self.seen:
            first = item.run.first_point + item.source.n_frames
            stop = item.run.first_point + item.run.n_frames
            if first == stop:
                continue
            if ranges and ranges[-1][1] == first:
                first = ranges.pop()[0]
            ranges.append((first, stop))
        return ranges

    def warnings(self) -> list[str]:
        """What of the announced frames cannot be seen, and why."""
        name, bad = self.spec.channel, [item for item in self.seen if item.source.trouble]
        sentences = [
            f"channel {name}: frames {item.run.first_point + item.source.n_frames} to "
            f"{item.run.first_point + item.run.n_frames - 1} are missing: {item.run.file} "
            f"{item.source.trouble}"
            for item in bad[:_NAMED]
        ]
        if len(bad) > _NAMED:
            sentences.append(f"channel {name}: so are those of {len(bad) - _NAMED} more files")
        if self.ended and self.saved < self.acquired:
            sentences.append(
                f"channel {name}: {self.acquired} frames were acquired, the detector saved "
                f"{self.saved} of them"
            )
        return sentences

    def report(self) -> ChannelReport:
        """Published is what was acquired, received what the detector says it has saved."""
        return ChannelReport(
            self.spec.channel,
            published=self.acquired,
            received=self.saved,
            on_disk=self.n_good,
            problem=self.problem,
        )


class Frames:
    """The channels of one scan whose frames are shown by reference.

    Args:
        key: of the scan, for the log.
        file: where they are shown.
    """

    def __init__(self, key: str, file: ScanFiles) -> None:
        self._key = key
        self._file = file
        self._channels: dict[str, _Channel] = {}

    def expect(self, description: ScanDescription, plan: FilePlan) -> None:
        """Follow the channels that the plan shows."""
        for name, spec in plan.references.items():
            files = frame_files(description.channels[name])
            if files is not None:
                self._channels.setdefault(name, _Channel(files, spec))

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    def __len__(self) -> int:
        return len(self._channels)

    def take(self, channel: str, status: Json) -> None:
        """The newest status of a channel."""
        known = self._channels.get(channel)
        if known is None or known.problem:
            return
        try:
            counted = known.files.counts(status)
        except LayoutError as error:
            self.fail(channel, error.fact)
            return
        # A late status never takes back what an earlier one said.
        known.acquired = max(known.acquired, counted.acquired)
        known.saved = max(known.saved, counted.saved)

    def end(self, channel: str) -> None:
        """No more frames of this channel will come."""
        self._channels[channel].ended = True

    def fail(self, channel: str, reason: str) -> None:
        """Follow this channel no further."""
        _LOG.warning("scan %s: channel %s is left: %s", self._key, channel, reason)
        self._channels[channel].problem = reason

    def go_on(self) -> None:
        """Look at files that are complete by now, and show their frames, not too often.

        Raises:
            SinkError: the scan's own file cannot be written.
        """
        now = time.monotonic()
        for known in self._followed():
            self._look_further(known, patience_s=_PATIENCE_S)
            if known.changed and now >= known.show_after:
                self._show(known)

    def finish(self) -> None:
        """Show every frame that the detectors have saved; waits a little for late files.

        Raises:
            SinkError: the scan's own file cannot be written.
        """
        deadline = time.monotonic() + _LAST_PATIENCE_S
        for known in self._followed():
            known.ended = True
            self._look_further(known, patience_s=0.0)
        late = [known for known in self._followed() if self._look_again(known)]
        while late and time.monotonic() < deadline:
            gevent.sleep(_RETRY_S)
            late = [known for known in late if self._look_again(known)]
        for known in self._followed():
            if known.changed:
                self._show(known)

    def warnings(self) -> tuple[str, ...]:
        """What of the announced frames cannot be seen, one sentence each."""
        return tuple(text for known in self._channels.values() for text in known.warnings())

    def problems(self) -> Mapping[str, str]:
        """Channel -> why it is followed no further."""
        return {name: known.problem for name, known in self._channels.items() if known.problem}

    def reports(self) -> tuple[ChannelReport, ...]:
        """The channels, counted in frames."""
        return tuple(known.report() for known in self._channels.values())

    def _followed(self) -> Iterable[_Channel]:
        return [known for known in self._channels.values() if not known.problem]

    def _look_further(self, known: _Channel, *, patience_s: float) -> None:
        """Look at files not seen yet, up to one that has to be waited for."""
        goal, turn = known.files.readable(known.saved, ended=known.ended), time.monotonic()
        for run in known.files.runs(known.n_seen, goal):
            now = time.monotonic()
            if now - turn > _TURN_S:
                gevent.sleep(0)
                turn = now
            if known.files.is_master and not known.ended:
                if now >= known.look_after:
                    self._look_into_master(known, run)
                return
            source = self._file.look_at(run, known.spec)
            if not source.may_pass:
                known.waiting_since = 0.0
            else:
                known.waiting_since = known.waiting_since or now
                if now - known.waiting_since < patience_s:
                    return
            known.add(run, source)

    def _look_into_master(self, known: _Channel, run: FrameRun) -> None:
        """Take what a master file has already; nothing is given up before the scan is over."""
        known.look_after = time.monotonic() + _RETRY_S
        n_frames = self._file.look_at(run, known.spec).n_frames
        if n_frames:
            known.add(replace(run, n_frames=n_frames), Source(n_frames))

    def _look_again(self, known: _Channel) -> bool:
        """Look once more at files that were late; whether there still are any."""
        late = [item for item in known.seen if item.source.may_pass]
        for item in late:
            source = self._file.look_at(item.run, known.spec)
            known.changed |= source != item.source
            known.n_good += source.n_frames - item.source.n_frames
            item.source = source
        return any(item.source.may_pass for item in late)

    def _show(self, known: _Channel) -> None:
        started = time.monotonic()
        try:
            self._file.show_frames(known.spec.channel, known.runs(), known.n_seen, known.missing())
        except DatasetError as error:
            self.fail(known.spec.channel, error.fact)
        known.changed = False
        now = time.monotonic()
        known.show_after = now + max(_SHOW_EVERY_S, _SHOW_SHARE * (now - started))
