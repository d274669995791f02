"""The files of one scan besides its own; any of them may be lost without the scan."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tango_saver.engine.holdings import Holdings
from tango_saver.engine.losses import Losses
from tango_saver.engine.messages import SaveScan
from tango_saver.engine.open_targets import OpenTargets
from tango_saver.engine.scan_file import ScanFile
from tango_saver.errors import SinkError, TargetPathError
from tango_saver.model.plan import FilePlan
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.journal import Journal
from tango_saver.sink.paths import check_target

_LOG = logging.getLogger(__name__)


class OtherFiles:
    """Opens and closes them; trouble with one costs that file alone, and goes to the losses.

    Datasets that only a late plan has are a part of their own of their file, which may be the
    scan's own.

    Args:
        order: which scan, and its own file.
        settings: say where files may lie.
        targets: the files of this worker.
        holdings: get what is opened, lose what is lost.
        losses: what is lost.
    """

    def __init__(
        self,
        order: SaveScan,
        settings: SaverSettings,
        targets: OpenTargets,
        holdings: Holdings,
        losses: Losses,
    ) -> None:
        self._order = order
        self._settings = settings
        self._targets = targets
        self._holdings = holdings
        self._losses = losses
        self._files: dict[str, ScanFile] = {}
        self._late: list[tuple[ScanFile, FilePlan]] = []
        self._paths = {order.target: Path(order.target)}

    def __iter__(self) -> Iterator[ScanFile]:
        yield from self._files.values()
        yield from (file for file, _ in self._late)

    def whole(self) -> Iterator[tuple[str, ScanFile]]:
        """Target and file of all but the late parts."""
        yield from tuple(self._files.items())

    def get(self, target: str) -> ScanFile | None:
        """The file of a target; None if it is not open."""
        return self._files.get(target)

    def path_of(self, target: str) -> Path:
        """Where a target lies, the scan's own or one that was opened."""
        return self._paths[target]

    def target_of(self, file: ScanFile) -> str:
        """The target of one of the files; the scan's own for any other."""
        targets = {other: target for target, other in self._files.items()}
        targets.update({late: part.target for late, part in self._late})
        return targets.get(file, self._order.target)

    def open(self, part: FilePlan) -> ScanFile | None:
        """Begin or take up the scan in another file; None if that file is lost."""
        if self._losses.has_file(part.target):
            return None
        file: ScanFile | None = None
        try:
            path = check_target(part.target, self._settings.allowed_roots)
            if path in self._paths.values():
                raise TargetPathError(
                    f"{part.target!r} is another name of a file that the scan goes to already",
                    advice="Correct the map that the session publishes",
                )
            self._targets.secure(path, self._order.fence, self._order.displaced)
            file = ScanFile(self._order.key, str(path), self._order.started_at, self._targets)
            file.recall()
            file.open(part)
        except SinkError as error:
            self.lose(part.target, file, error)
            return None
        self._paths[part.target] = path
        self._files[part.target] = file
        self._holdings.add(file, part)
        return file

    def open_late(self, plan: FilePlan, path: Path) -> ScanFile | None:
        """Make datasets that came late, in any of the scan's files; None if they are lost.

        Args:
            plan: of those datasets alone.
            path: of the file.
        """
        file = ScanFile(self._late_key, str(path), 0.0, self._targets)
        self._late.append((file, plan))
        try:
            file.open(plan)
        except SinkError as error:
            self.lose(plan.target, file, error)
            return None
        self._holdings.add(file, plan)
        return file

    def forget_late(self) -> None:
        """What an earlier attempt added to the scan's own file is made again from its beginning."""
        Journal.path_for(Path(self._order.target), self._late_key).unlink(missing_ok=True)

    def check(self) -> None:
        """Note what a flush in the background met."""
        for target, file in self.whole():
            with self.may_be_lost(target, file):
                file.check()

    def finish_late(self) -> None:
        """Bring the late parts to their end."""
        for file, plan in self._late:
            with self.may_be_lost(plan.target, file):
                file.finish(plan)

    def release(self) -> None:
        """Part from the files. Idempotent."""
        for file, plan in self._late:
            with self.may_be_lost(plan.target, file):
                file.release()
        for target, file in self.whole():
            with self.may_be_lost(target, file):
                file.release()

    @contextmanager
    def may_be_lost(self, target: str, file: ScanFile) -> Iterator[None]:
        """What is done inside costs the file if it fails."""
        try:
            yield
        except SinkError as error:
            self.lose(target, file, error)

    def lose(self, target: str, file: ScanFile | None, error: SinkError) -> None:
        """A file cannot be written any further, or was never opened."""
        self._losses.file(target, error)
        if file is None:
            return
        if self._files.get(target) is file:
            del self._files[target]
        self._holdings.drop(file)
        try:
            file.release()
        except SinkError as second:
            _LOG.error("scan %s: nor can it be closed: %s", self._order.key, second)

    @property
    def _late_key(self) -> str:
        return f"{self._order.key}-late"
