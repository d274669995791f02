"""Brings points to every file of one scan that has their channel, each from where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tango_saver.engine.holdings import Holdings
from tango_saver.engine.losses import Losses
from tango_saver.engine.other_files import OtherFiles
from tango_saver.engine.scan_file import ScanFile
from tango_saver.errors import DatasetError, SinkError
from tango_saver.model.records import Points, behind


class ChannelFiles:
    """Writes to the scan's own file and to others as if they were one.

    Args:
        own: the scan's own file; trouble with it is raised.
        others: its other files; trouble with them costs them.
        holdings: which file has which channels.
        losses: what did not reach other files.
    """

    def __init__(
        self, own: ScanFile, others: OtherFiles, holdings: Holdings, losses: Losses
    ) -> None:
        self._own = own
        self._others = others
        self._holdings = holdings
        self._losses = losses
        self.bytes_appended = 0
        """Of point values, before compression, each counted once."""

    def append(self, channel: str, first: int, points: Points) -> None:
        """Append points to every dataset of the channel; see ``ScanFile.append``.

        Raises:
            DatasetError: the channel cannot be written anywhere.
            SinkError: the scan's own file cannot be written.
        """

        def add(file: ScanFile, start: int) -> None:
            before = file.bytes_appended
            rest = behind(points, start - first)
            if len(rest):
                file.append(channel, start, rest)
            if file is files[0]:
                self.bytes_appended += file.bytes_appended - before

        files = self._holdings.files_with(channel)
        self._in_each(files, channel, first, add)

    def fill_gap(self, channel: str, first: int, stop: int) -> None:
        """Append fill values; see ``ScanFile.fill_gap``.

        Raises:
            DatasetError: the channel cannot be written anywhere.
            SinkError: the scan's own file cannot be written.
        """

        def fill(file: ScanFile, start: int) -> None:
            if start < stop:
                file.fill_gap(channel, start, stop)

        self._in_each(self._holdings.files_with(channel), channel, first, fill)

    def lengths(self) -> Mapping[str, int]:
        """Channel -> rows that are in every file that has it."""
        if self._holdings.n_files < 2:  # noqa: PLR2004 - one file, its own
            return self._own.lengths()
        return self._holdings.lengths()

    def _in_each(
        self,
        files: list[ScanFile],
        channel: str,
        first: int,
        write: Callable[[ScanFile, int], None],
    ) -> None:
        if files == [self._own]:
            write(self._own, first)
            return
        for file in files:
            start = max(first, file.lengths().get(channel, 0))
            target = self._others.target_of(file)
            try:
                write(file, start)
            except DatasetError as error:
                if len(files) == 1:
                    raise
                self._losses.channel(target, channel, error.fact)
                self._holdings.drop_channel(file, channel)
            except SinkError as error:
                if file is self._own:
                    raise
                self._others.lose(target, file, error)
