"""Which scans are taken, and whether their targets can be written.

A scan whose target cannot be written is refused, and looked at again: it is saved when it can.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from tango_saver.engine.choice import Choice
from tango_saver.engine.dispatcher import order_for
from tango_saver.engine.inspection import Inspected, Inspector
from tango_saver.engine.ledger import Ledger, RunningScan
from tango_saver.engine.messages import SaveScan
from tango_saver.errors import DiskFullError, SaverError, TargetForbiddenError, TargetPathError
from tango_saver.model.report import SavingState, ScanProgress
from tango_saver.model.scan import ScanAnnouncement
from tango_saver.model.settings import SaverSettings

_LOG = logging.getLogger(__name__)

_LOOK_AGAIN_S = 5.0
"""Between two looks at a target that could not be written."""


class Admission:
    """Owns the way of a scan from its announcement to the answer about its target.

    Args:
        settings: which session is served.
        ledger: the scans; those that are taken are added.
        inspector: looks at targets, and tells ``Inspected``.
        admit: called with a scan whose target can be written.
        refuse: called with one that is not saved.
    """

    def __init__(
        self,
        settings: SaverSettings,
        ledger: Ledger,
        inspector: Inspector,
        admit: Callable[[RunningScan], None],
        refuse: Callable[[RunningScan, SaverError], None],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._inspector = inspector
        self._admit = admit
        self._refuse = refuse
        self.choice = Choice(frozenset(settings.data_writers))
        """Which scans are saved of those that are heard of."""
        self._postponed: dict[str, SaveScan] = {}
        self._look_again_at = 0.0

    @property
    def postponed(self) -> tuple[SaveScan, ...]:
        """Refused for a target that could not be written; saved when it can be."""
        return tuple(self._postponed.values())

    def tick(self) -> None:
        """Look at postponed scans again when it is time; to be called regularly."""
        if self._postponed and time.monotonic() > self._look_again_at:
            self._look_again_at = time.monotonic() + _LOOK_AGAIN_S
            for order in self._postponed.values():
                self._inspector.inspect(order.key, order.target)

    def wants(self, scan: ScanAnnouncement) -> bool:
        """Whether a scan that was heard of is saved here."""
        return (
            self._settings.covers(scan.session)
            and scan.saved
            and bool(scan.target)
            and self.choice.takes(scan.session, scan.writer)
        )

    def takes_over(self, order: SaveScan) -> bool:
        """Whether a scan that another instance has left can be saved here."""
        return self._settings.covers(order.session) and order.key not in self._postponed

    def take(self, announced: ScanAnnouncement, *, again: bool = False) -> None:
        """Take a scan, unless it is being saved already.

        Args:
            announced: the scan.
            again: it was asked for, saved already or not.
        """
        if announced.key in self._ledger.running:
            return
        self._postponed.pop(announced.key, None)
        progress = ScanProgress(
            key=announced.key,
            session=announced.session,
            name=announced.name,
            number=announced.number,
            state=SavingState.WAITING,
            target=announced.target,
            started_at=time.time(),
            checked=False,
        )
        scan = RunningScan(progress, again=again)
        self._ledger.running[announced.key] = scan
        if announced.target:
            self._inspector.inspect(announced.key, announced.target)
            return
        error = TargetPathError(
            "BLISS has given it no file",
            scan=announced.key,
            advice="Only a scan made with SCAN_SAVING enabled has one",
        )
        self._refuse(scan, error)

    def recover(self, order: SaveScan) -> None:
        """Go on with a scan whose saving was interrupted, once its target was looked at."""
        self._go_on(order)
        self._inspector.inspect(order.key, order.target)

    def inspected(self, event: Inspected) -> None:
        """A target was looked at."""
        scan = self._ledger.running.get(event.key)
        if scan is None and event.error is None and event.key in self._postponed:
            scan = self._go_on(self._postponed.pop(event.key))
        if scan is None or scan.worker is not None:
            return
        if event.error is not None:
            if isinstance(event.error, TargetForbiddenError | DiskFullError):
                self._postponed[scan.key] = order_for(scan)
            self._refuse(scan, event.error)
            return
        scan.wanted = event.target
        scan.progress = replace(scan.progress, target=event.target, checked=True)
        self._inspector.watch(event.target)
        self._admit(scan)

    def _go_on(self, order: SaveScan) -> RunningScan:
        _LOG.info("scan %s: its saving to %s goes on", order.key, order.target)
        progress = ScanProgress(
            key=order.key,
            session=order.session,
            name=order.name,
            number=order.number,
            state=SavingState.WAITING,
            target=order.target,
            warnings=order.warnings,
            started_at=order.started_at,
        )
        scan = RunningScan(progress, attempt=order.attempt + 1, lost=list(order.lost))
        self._ledger.running[order.key] = scan
        return scan
