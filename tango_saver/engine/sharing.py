"""Shares the scans of a session with other instances: the conductor's side of the claims.

An instance that shares nothing comes through here too, and meets no claim.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from tango_saver.engine.claims import (
    ClaimAnswered,
    ClaimNews,
    Claims,
    ClaimTrouble,
    LeaseRenewed,
)
from tango_saver.engine.dispatcher import order_for
from tango_saver.engine.lease import boot_time
from tango_saver.engine.ledger import Ledger, RunningScan, refusal
from tango_saver.engine.messages import LoseTarget, RenewLease, SaveScan
from tango_saver.engine.pool import WorkerPool
from tango_saver.errors import ClaimLostError
from tango_saver.model.report import SavingState, ScanProgress, ScanReport
from tango_saver.model.settings import SaverSettings

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)

_MOST_ELSEWHERE = 256
_TRY_AGAIN_S = 60.0
"""Between two attempts to take over a scan whose target cannot be written from here."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What is done with scans; all of it in the conductor's thread.

    Args:
        dispatch: give it to a worker.
        recover: go on with one that somebody else has left.
        finish: it is over, and this is its report.
        alarm: somebody should look; an empty sentence ends that.
        takes: whether a scan of another instance may be taken over now.
    """

    dispatch: Callable[[RunningScan], None]
    recover: Callable[[SaveScan], object]
    finish: Callable[[RunningScan, ScanReport], None]
    alarm: Callable[[str], None]
    takes: Callable[[SaveScan], bool]


class Sharing:
    """Owns the way of a scan to its claim, and from there to a worker or to another instance.

    Args:
        settings: of the saver.
        ledger: the scans.
        pool: the workers.
        hands: what is done with scans.
        tell: brings news of claims to the conductor's thread.
    """

    def __init__(
        self,
        settings: SaverSettings,
        ledger: Ledger,
        pool: WorkerPool,
        hands: Hands,
        tell: Callable[[ClaimNews], None],
    ) -> None:
        self._ledger = ledger
        self._pool = pool
        self._hands = hands
        self._held: dict[str, int] = {}
        self._wished: set[str] = set()
        """Targets that were asked for without a scan."""
        self._until = 0.0
        self._tried: dict[str, float] = {}
        self._elsewhere: dict[str, ScanProgress | ScanReport] = {}
        self._claims = Claims(settings, tell) if settings.shared_session else None

    @property
    def elsewhere(self) -> tuple[ScanProgress | ScanReport, ...]:
        """What is known of the scans that other instances save, the oldest first."""
        return tuple(self._elsewhere.values())

    def listens(self, *, goes_on: bool) -> None:
        """Start or Stop was given."""
        if self._claims is not None:
            self._claims.listens(goes_on=goes_on)

    def dispatch(self, scan: RunningScan) -> None:
        """Give a scan to a worker, once its target is claimed."""
        if self._claims is None:
            self._hands.dispatch(scan)
        else:
            self._claims.ask(order_for(scan), again=scan.again)

    def permits(self, target: str) -> bool:
        """Whether something else than a scan may be written to a target now."""
        if self._claims is None or target in self._held:
            return True
        if target not in self._wished:
            self._wished.add(target)
            self._claims.ask_for_target(target)
        return False

    def changed(self, scan: RunningScan) -> None:
        """Whoever goes on with this scan has to know more."""
        if self._claims is not None and scan.fence:
            self._claims.note(order_for(scan))

    def finished(self, scan: RunningScan, report: ScanReport) -> None:
        """A scan has ended."""
        if self._claims is None or not scan.fence or self._held.get(scan.target) != scan.fence:
            return
        text = msgspec.json.encode(replace(report, channels=())).decode()
        self._claims.finish(scan.key, scan.target, scan.fence, text)

    def tick(self, uses: Callable[[str], bool]) -> None:
        """Part from targets that nothing is written to any more; to be called regularly.

        Args:
            uses: whether a worker holds a target open, or is about to.
        """
        if self._claims is None or not self._held:
            return
        wanted = {scan.target for scan in self._ledger.running.values()}
        for target in [target for target in self._held if target not in wanted]:
            if not uses(target):
                self._claims.release(target, self._held.pop(target))

    def close(self) -> None:
        """After the workers have left; waits a little."""
        if self._claims is not None:
            self._claims.close(leaves=not self._pool.any_alive)

    # ------------------------------------------------------------------ news

    def take(self, news: ClaimNews) -> None:
        """Deal with news of the claims."""
        match news:
            case ClaimTrouble(sentence):
                self._hands.alarm(sentence)
            case ClaimAnswered():
                self._answered(news)
            case LeaseRenewed():
                self._renewed(news)

    def _answered(self, news: ClaimAnswered) -> None:
        answer = news.answer
        if answer.mine:
            self._held[news.target] = answer.fence
        if not news.key:
            self._wished.discard(news.target)
            return
        scan = self._ledger.running.get(news.key)
        if scan is None or scan.worker is not None:
            return
        if not answer.mine:
            why = "is saved already" if answer.saved else f"is for {answer.held_by}"
            _LOG.info("scan %s %s", scan.key, why)
            del self._ledger.running[scan.key]
            self._leave_to_others(replace(scan.progress, notice=f"its file {why}"))
            return
        self._elsewhere.pop(scan.key, None)
        scan.fence, scan.displaced, scan.again = answer.fence, answer.taken_from, False
        if answer.taken_from:
            sentence = f"taken over from {answer.taken_by_name}, whose claim had lapsed"
            _LOG.warning("scan %s: %s", scan.key, sentence)
            warnings = (*scan.progress.warnings, sentence)
            scan.progress = replace(scan.progress, warnings=tuple(dict.fromkeys(warnings)))
        self._hands.dispatch(scan)
        self._pool.tell_all(RenewLease(self._until))  # its worker may be new

    def _renewed(self, news: LeaseRenewed) -> None:
        for target, name in news.seen.lost.items():
            self._lose(target, news.lost[target], name)
        self._until = news.until
        self._pool.tell_all(RenewLease(news.until))
        for text in news.seen.over:
            report = _decoded(text, ScanReport)
            if report is not None:
                self._elsewhere[report.key] = report
        if news.seen.over:
            self._watch()
        now = boot_time()
        self._tried = {key: at for key, at in self._tried.items() if now - at < _TRY_AGAIN_S}
        for row in news.seen.free:
            order = _decoded(row.order, SaveScan)
            if order is not None:
                self._consider(order)

    def _lose(self, target: str, fence: int, name: str) -> None:
        if self._held.get(target) == fence:
            del self._held[target]
        self._pool.tell_all(LoseTarget(target, fence, name))
        for scan in tuple(self._ledger.running.values()):
            if scan.target == target and scan.fence == fence:
                error = ClaimLostError(
                    f"{name} has taken its saving over, because this instance was away for longer "
                    "than its claim holds",
                    scan=scan.key,
                    advice="It goes on there, with what is in the file",
                )
                report = replace(refusal(scan.progress, error), state=SavingState.MOVED)
                self._hands.finish(scan, report)
                self._leave_to_others(replace(scan.progress, notice=f"{name} goes on with it"))

    def _leave_to_others(self, progress: ScanProgress) -> None:
        """Whoever asks this instance for the scan gets an answer all the same."""
        self._elsewhere[progress.key] = progress
        while len(self._elsewhere) > _MOST_ELSEWHERE:
            del self._elsewhere[next(iter(self._elsewhere))]
        self._watch()

    def _watch(self) -> None:
        """Have the reports told of scans that other instances still save."""
        if self._claims is not None:
            self._claims.watched = tuple(
                key for key, scan in self._elsewhere.items() if isinstance(scan, ScanProgress)
            )

    def _consider(self, order: SaveScan) -> None:
        """Take a scan over that nobody saves."""
        if order.key in self._ledger.running or order.key in self._tried:
            return
        if self._hands.takes(order):
            self._tried[order.key] = boot_time()
            self._hands.recover(order)


def _decoded(text: str, kind: type[_T]) -> _T | None:
    """What another instance wrote; None if it is of a version that is not understood."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        _LOG.debug("what another instance wrote is not understood: %s", error)
        return None
