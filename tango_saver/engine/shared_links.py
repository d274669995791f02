"""Links to entries, in files that many scans and other processes share.

Such a file is held for a moment only. Whoever else holds it never costs a scan anything: its
link is tried again until the file is free, also when the scan is long over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import gevent
from gevent.event import Event

from tango_saver.engine.open_targets import OpenTargets
from tango_saver.errors import SinkError, TargetLockedError
from tango_saver.model.plan import LinkFromElsewhere
from tango_saver.model.settings import SaverSettings
from tango_saver.sink.paths import check_target

_LOG = logging.getLogger(__name__)

_RETRY_S = (0.1, 2.0)
"""First and longest pause while somebody else holds the file."""
_GIVE_UP_S = 3600.0
"""How long a file that is never free is tried."""


@dataclass(eq=False)
class _Wish:
    """A link that a scan wants."""

    key: str
    link: LinkFromElsewhere
    settled: Event = field(default_factory=Event)
    problem: str = ""
    """Why it is not there (yet), a sentence."""


class SharedLinks:
    """The links that the scans of one worker want.

    Args:
        settings: allowed roots.
        targets: the files of this worker; one of them may be such a file.
    """

    def __init__(self, settings: SaverSettings, targets: OpenTargets) -> None:
        self._settings = settings
        self._targets = targets
        self._waiting: dict[Path, list[_Wish]] = {}
        self._wishes: dict[str, list[_Wish]] = {}

    def want(self, key: str, links: Iterable[LinkFromElsewhere]) -> None:
        """Have links made soon; returns at once.

        Args:
            key: of the scan whose entries they lead to, which are there.
            links: of that scan.
        """
        for link in links:
            wish = _Wish(key, link)
            self._wishes.setdefault(key, []).append(wish)
            try:
                path = check_target(link.file, self._settings.allowed_roots)
            except SinkError as error:
                _settle(wish, f"{link.file} gets no link to this scan: {error}")
                continue
            queue = self._waiting.get(path)
            if queue is None:
                self._waiting[path] = [wish]
                gevent.spawn(self._work_through, path)
            else:
                queue.append(wish)

    def settle(self, key: str, patience_s: float) -> tuple[str, ...]:
        """Wait a moment for the links of a scan, which are then forgotten, not given up.

        Returns:
            one sentence for each link that is not there.
        """
        wishes = self._wishes.pop(key, [])
        deadline = time.monotonic() + patience_s
        for wish in wishes:
            wish.settled.wait(max(deadline - time.monotonic(), 0.0))
        return tuple(dict.fromkeys(wish.problem for wish in wishes if wish.problem))

    def _work_through(self, path: Path) -> None:
        """Make the links that one file shall get, until there are no more."""
        pause, give_up = _RETRY_S[0], time.monotonic() + _GIVE_UP_S
        while self._waiting[path]:
            wishes = tuple(self._waiting[path])
            try:
                problems = self._make(path, wishes)
            except TargetLockedError as error:
                if time.monotonic() < give_up:
                    for wish in wishes:
                        wish.problem = (
                            f"{path} gets its link to this scan when it is free: {error.fact}"
                        )
                    gevent.sleep(pause)
                    pause = min(2 * pause, _RETRY_S[1])
                    continue
                problems = (f"{path} was never free for its link to this scan: {error.fact}",)
            except SinkError as error:
                problems = (f"{path} gets no link to this scan: {error}",)
            except Exception as error:  # noqa: BLE001 - a shared file costs no scan
                _LOG.exception("links in %s", path)
                problems = (f"{path} gets no link to this scan: {type(error).__name__}: {error}",)
            del self._waiting[path][: len(wishes)]
            for wish in wishes:
                _settle(wish, "; ".join(problems))
        del self._waiting[path]

    def _make(self, path: Path, wishes: Iterable[_Wish]) -> tuple[str, ...]:
        target, _ = self._targets.acquire(path)
        try:
            with target.use() as file:
                problems: tuple[str, ...] = ()
                for wish in wishes:
                    problems += file.add_links((wish.link.link,), wish.link.root_attributes)
                return problems
        finally:
            self._targets.release(target)


def _settle(wish: _Wish, problem: str) -> None:
    if problem:
        _LOG.warning("scan %s: %s", wish.key, problem)
    wish.problem = problem
    wish.settled.set()
