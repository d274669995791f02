"""Claims in Redis: which of several instances writes a target, and for how long.

Small hashes beside what BLISS keeps, none of them named as BLISS names anything:

    tango_saver:instances   instance -> its name, its machine, when its lease lapses
    tango_saver:claims      target -> the instance that writes it, and its fencing number
    tango_saver:scans       scan -> target and order, until it is saved
    tango_saver:done        scan -> what became of it, for a day
    tango_saver:fence       the newest fencing number

Every step is one script, so it happens as a whole or not at all, and all times are those of
Redis's own clock. The scripts may also run when Redis has no memory left for data: a lease
that lapsed then would stop the saving that makes room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import redis

from tango_saver.engine.claim_scripts import (
    CLAIM,
    COMMON,
    FINISH,
    LEAVE,
    NOTE,
    RELEASE,
    RENEW,
)
from tango_saver.errors import SourceError
from tango_saver.source.wire import connect, redis_errors

_PREFIX = "tango_saver:"
_KEYS = tuple(
    f"{_PREFIX}{name}" for name in ("instances", "claims", "scans", "done", "done_at", "fence")
)
_ALSO_WITHOUT_MEMORY = "#!lua flags=allow-oom\n"
"""Understood since Redis 7."""
_SHEBANG_UNKNOWN = ("compil", "unexpected symbol")


@dataclass(frozen=True, slots=True)
class Instance:
    """One of the savers of a session."""

    identity: str
    """Like no other, also not like an earlier one of the same name."""
    name: str
    """For people: host and process."""
    machine: str
    """The same for all processes of one machine since it was switched on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking for a target."""

    mine: bool
    fence: int = 0
    """Grows with every claim; of two claims to one target the one with more is valid."""
    taken_from: str = ""
    """Machine of an instance that did not part from the target; empty if it was free."""
    taken_by_name: str = ""
    """Name of that instance."""
    saved: bool = False
    """The scan was saved by somebody already."""
    held_by: str = ""
    """Name of the instance that has the target."""


class Row(msgspec.Struct, frozen=True):
    """A scan that is not saved yet."""

    target: str
    order: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How things stand at a renewal."""

    lost: Mapping[str, str]
    """Target -> name of the instance that has taken it over."""
    loads: Mapping[str, int]
    """Identity of each instance that listens -> targets that it has."""
    free: Sequence[Row]
    """Scans that nobody saves whose lease holds."""
    over: Sequence[str]
    """Reports, in JSON, of the scans that were asked for and are saved."""


class ClaimTable:
    """The claims, seen by one instance; for one thread.

    Every method raises RedisUnreachableError if Redis does not answer, and SourceError if it
    refuses.

    Args:
        url: of the Redis that BLISS publishes into.
        timeout_s: longest wait for one answer.
        instance: who claims.

    Raises:
        ConfigurationError: the URL cannot be understood.
    """

    def __init__(self, url: str, timeout_s: float, instance: Instance) -> None:
        self._client = connect(url, timeout_s)
        self._instance = instance
        self._first_line = _ALSO_WITHOUT_MEMORY

    def renew(
        self,
        lease_s: float,
        held: Mapping[str, int],
        watched: Sequence[str] = (),
        *,
        listens: bool,
    ) -> Seen:
        """Renew the lease, find what was lost, and look around.

        Args:
            lease_s: from now on, by Redis's clock.
            held: target -> fencing number of what this instance has. A claim that Redis knows
                nothing of, because it was emptied, is made again.
            watched: scans that another instance saves.
            listens: whether this instance takes new scans.
        """
        own = {"name": self._instance.name, "machine": self._instance.machine, "listens": listens}
        pairs = [part for target, fence in held.items() for part in (target, fence)]
        lost, loads, free, over = self._run(
            RENEW, msgspec.json.encode(own), int(lease_s * 1000), len(held), *pairs, *watched
        )
        return Seen(
            lost={_text(target): _text(name) for target, name in _pairs(lost)},
            loads={_text(identity): int(load) for identity, load in _pairs(loads)},
            free=[msgspec.json.decode(row, type=Row) for row in free],
            over=[_text(report) for report in over],
        )

    def claim(self, scan: str, target: str, order: str, *, again: bool = False) -> Answer | None:
        """Ask for a target; the scan is noted also if another instance has it.

        Args:
            scan: its key; empty if the target is wanted for something else.
            target: checked and resolved path.
            order: JSON, for whoever has to go on with the scan.
            again: also if the scan was saved already.

        Returns:
            the answer; None if the lease has lapsed and must be renewed first.
        """
        kind, *facts = self._run(CLAIM, scan, target, order, str(int(again)))
        match kind:
            case b"late":
                return None
            case b"mine":
                fence, machine, name = facts
                return Answer(
                    mine=True,
                    fence=int(fence),
                    taken_from=_text(machine),
                    taken_by_name=_text(name),
                )
            case b"done":
                return Answer(mine=False, saved=True)
        return Answer(mine=False, held_by=_text(facts[0]))

    def note(self, scan: str, target: str, order: str, fence: int) -> None:
        """Replace the order of a scan, unless the claim was lost."""
        self._run(NOTE, scan, target, order, fence)

    def finish(self, scan: str, target: str, report: str, fence: int) -> None:
        """The scan is saved, unless the claim was lost: then somebody else will say so.

        Args:
            scan: its key.
            target: path.
            report: JSON, for the other instances.
            fence: number of the claim.
        """
        self._run(FINISH, scan, target, report, fence)

    def release(self, held: Mapping[str, int]) -> None:
        """Part from targets: target -> fencing number."""
        self._run(RELEASE, *[part for pair in held.items() for part in pair])

    def leave(self) -> None:
        """Part from everything; scans that are not saved are for the others."""
        self._run(LEAVE)

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._client.connection_pool.disconnect()

    def _run(self, script: str, *arguments: str | int | bytes) -> list[Any]:
        try:
            return self._eval(script, *arguments)
        except SourceError as error:
            cause = error.__cause__
            old = isinstance(cause, redis.ResponseError) and any(
                sign in str(cause).lower() for sign in _SHEBANG_UNKNOWN
            )
            if not (old and self._first_line):
                raise
            self._first_line = ""
            return self._eval(script, *arguments)

    def _eval(self, script: str, *arguments: str | int | bytes) -> list[Any]:
        with redis_errors():
            reply: list[Any] = self._client.execute_command(
                "EVAL",
                f"{self._first_line}{COMMON}{script}",
                len(_KEYS),
                *_KEYS,
                self._instance.identity,
                *arguments,
            )
            return reply


def _pairs(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _text(value: bytes | int) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)
