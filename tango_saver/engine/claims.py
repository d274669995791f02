"""Keeps the claims of one instance, in a thread: Redis may be slow, or away.

The lease is renewed every second. While Redis cannot be asked nobody can claim anything; what
is claimed may be written as long as the last renewal reaches, by the clock of this machine,
and a second less than Redis counts: then it is certain that nobody else writes before this
instance has stopped.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from tango_saver.engine.claim import Answer, ClaimTable, Instance, Seen
from tango_saver.engine.lease import boot_time, this_machine
from tango_saver.engine.messages import SaveScan
from tango_saver.errors import SaverError
from tango_saver.model.settings import SaverSettings

_LOG = logging.getLogger(__name__)

LEASE_S = 6.0
"""Without a renewal for so long, others take over."""
_PERIOD_S = 1.0
_MARGIN_S = 1.0
_ANSWER_S = 1.5
"""Longest wait for one answer of Redis."""
_RETRY_S = 0.3
_FORGOTTEN_S = 12 * 3600.0
"""After so long without a renewal nothing is ours any more, whatever Redis remembers."""
_BID_S = 0.05
_LONGEST_BID_S = 0.3
_NOT_PREFERRED_S = 0.1
_CLOSE_S = 3.0


@dataclass(frozen=True, slots=True)
class ClaimAnswered:
    """What came of asking for the target of a scan."""

    key: str
    target: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    """Files may be written until then, but for those that were lost."""

    until: float
    """See ``boot_time``."""
    seen: Seen
    lost: Mapping[str, int]
    """Target -> number of the claim that is lost."""


@dataclass(frozen=True, slots=True)
class ClaimTrouble:
    """Nothing can be claimed or renewed, or it can again if the sentence is empty."""

    sentence: str


ClaimNews: TypeAlias = ClaimAnswered | LeaseRenewed | ClaimTrouble


@dataclass(frozen=True, slots=True)
class _Ask:
    key: str
    target: str
    order: SaveScan | None
    again: bool
    due_at: float


_Work: TypeAlias = Callable[[ClaimTable], None]


class Claims:
    """All methods but ``close`` return at once; one thread uses them.

    Args:
        settings: URL and timeout of Redis.
        tell: called from the thread of the claims.
    """

    def __init__(self, settings: SaverSettings, tell: Callable[[ClaimNews], None]) -> None:
        self._tell = tell
        self._me = Instance(
            uuid.uuid4().hex, f"{platform.node()}, process {os.getpid()}", this_machine()
        )
        self._table = ClaimTable(
            settings.redis_url, min(settings.redis_timeout_s, _ANSWER_S), self._me
        )
        self._queue: queue.SimpleQueue[_Ask | _Work | None] = queue.SimpleQueue()
        self._asked: list[_Ask] = []
        self._work: deque[_Work] = deque()
        self._held: dict[str, int] = {}
        self._loads: Mapping[str, int] = {}
        self._renewed_at = boot_time()
        self._troubled = False
        self._closing = False
        self._leaves = False
        self._listens = False
        self._due_at = 0.0
        self.watched: tuple[str, ...] = ()
        """Keys of scans that other instances save, whose reports are wanted."""
        self._thread = threading.Thread(target=self._run, name="claims", daemon=True)
        self._thread.start()

    def listens(self, *, goes_on: bool) -> None:
        """Whether this instance takes new scans from now on; the others hear of it."""

        def tell_others(_table: ClaimTable) -> None:
            self._listens, self._due_at = goes_on, 0.0

        self._queue.put(tell_others)

    def ask(self, order: SaveScan, *, again: bool = False) -> None:
        """Claim the target of a scan, sooner if this instance is the one for it.

        Args:
            order: of the scan.
            again: also if the scan was saved already.
        """
        self._ask(order.key, order.target, order, again)

    def ask_for_target(self, target: str) -> None:
        """Claim a target for something else than a scan."""
        self._ask("", target, None, again=False)

    def note(self, order: SaveScan) -> None:
        """Whoever has to go on with the scan gets this order."""
        text = msgspec.json.encode(order).decode()
        self._queue.put(lambda table: table.note(order.key, order.target, text, order.fence))

    def finish(self, key: str, target: str, fence: int, report: str) -> None:
        """A scan has ended; its report, in JSON, is for the other instances."""
        self._queue.put(lambda table: table.finish(key, target, report, fence))

    def release(self, target: str, fence: int) -> None:
        """Nothing of the target is open any more."""

        def part(table: ClaimTable) -> None:
            table.release({target: fence})
            if self._held.get(target) == fence:
                del self._held[target]

        self._queue.put(part)

    def close(self, *, leaves: bool) -> None:
        """End the thread; waits a little.

        Args:
            leaves: nothing is open any more: others may have all targets at once. Else they
                wait until the lease has lapsed.
        """
        self._leaves = leaves
        self._closing = True
        self._queue.put(None)
        self._thread.join(_CLOSE_S)

    def _ask(self, key: str, target: str, order: SaveScan | None, again: bool) -> None:
        self._queue.put(_Ask(key, target, order, again, time.monotonic()))

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._closing:
            try:
                if time.monotonic() >= self._due_at:
                    self._due_at = time.monotonic() + _PERIOD_S
                    self._renew()
                self._listen()
                self._do_all()
                if not self._claim_due():
                    self._due_at = 0.0
            except SaverError as error:
                self._is_troubled(str(error))
                time.sleep(_RETRY_S)
            except Exception as error:  # noqa: BLE001 - without a renewal nothing is written
                _LOG.exception("Keeping the claims failed")
                self._is_troubled(f"{type(error).__name__}: {error}")
                time.sleep(_RETRY_S)
        self._part()

    def _part(self) -> None:
        try:
            self._take_all()
            self._do_all()
            if self._leaves:
                self._table.leave()
        except SaverError as error:
            _LOG.warning("the claims are left to lapse: %s", error)
        finally:
            self._table.close()

    def _renew(self) -> None:
        asked_at = boot_time()
        if asked_at - self._renewed_at > _FORGOTTEN_S:
            held, gone = {}, dict.fromkeys(self._held, "another instance")
        else:
            held, gone = self._held, {}
        seen = self._table.renew(LEASE_S, held, self.watched, listens=self._listens)
        self._renewed_at = asked_at
        names = {**seen.lost, **gone}
        lost = {target: self._held.pop(target) for target in names}
        self._loads = seen.loads
        self._is_well()
        until = asked_at + LEASE_S - _MARGIN_S
        seen = Seen(names, seen.loads, seen.free, seen.over)
        self._tell(LeaseRenewed(until, seen, lost))

    def _listen(self) -> None:
        """Wait for work until something is due."""
        first = min([self._due_at, *(ask.due_at for ask in self._asked)])
        try:
            work = self._queue.get(timeout=max(0.0, first - time.monotonic()))
        except queue.Empty:
            return
        self._sort(work)
        self._take_all()

    def _take_all(self) -> None:
        while not self._queue.empty():
            self._sort(self._queue.get())

    def _sort(self, work: _Ask | _Work | None) -> None:
        if isinstance(work, _Ask):
            delay_s = 0.0
            if work.target not in self._held:
                loads = {**self._loads, self._me.identity: len(self._held) + len(self._asked)}
                delay_s = bid_delay_s(work.target, self._me.identity, loads)
            due_at = work.due_at + delay_s
            self._asked.append(_Ask(work.key, work.target, work.order, work.again, due_at))
        elif work is not None:
            self._work.append(work)

    def _do_all(self) -> None:
        while self._work:
            self._work[0](self._table)
            self._work.popleft()

    def _claim_due(self) -> bool:
        """Ask for what is due; False if the lease must be renewed first."""
        now = time.monotonic()
        renewal_at = self._renewed_at + _PERIOD_S
        for ask in [ask for ask in self._asked if ask.due_at <= now]:
            if boot_time() > renewal_at:
                return False  # thousands of scans must not cost the lease
            text = msgspec.json.encode(ask.order).decode() if ask.order is not None else ""
            answer = self._table.claim(ask.key, ask.target, text, again=ask.again)
            if answer is None:
                return False
            self._asked.remove(ask)
            if answer.mine:
                self._held[ask.target] = answer.fence
            self._tell(ClaimAnswered(ask.key, ask.target, answer))
        return True

    def _is_troubled(self, fact: str) -> None:
        if not self._troubled:
            _LOG.warning("claims: %s", fact)
        self._troubled = True
        self._tell(
            ClaimTrouble(
                f"claims cannot be made or renewed: {fact}. New scans wait, and running ones "
                f"after {LEASE_S - _MARGIN_S:g} s"
            )
        )

    def _is_well(self) -> None:
        if self._troubled:
            self._troubled = False
            self._tell(ClaimTrouble(""))


def bid_delay_s(target: str, me: str, loads: Mapping[str, int]) -> float:
    """How long an instance waits before it asks for a target, so that all get their share.

    Args:
        target: path of the file.
        me: identity of the instance.
        loads: identity of each instance -> targets that it has; this one included.
    """
    others = [load for identity, load in loads.items() if identity != me]
    if not others:
        return 0.0

    def rank(identity: str) -> bytes:
        return hashlib.sha256(f"{identity}\n{target}".encode(errors="surrogatepass")).digest()

    preferred = max(loads, key=rank) == me
    ahead = max(0, loads.get(me, 0) - min(others))
    return min(ahead * _BID_S, _LONGEST_BID_S) + (0.0 if preferred else _NOT_PREFERRED_S)
