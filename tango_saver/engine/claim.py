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

from tango_saver.errors import SourceError
from tango_saver.source.bliss2.wire import connect, redis_errors

_PREFIX = "tango_saver:"
_KEYS = tuple(
    f"{_PREFIX}{name}" for name in ("instances", "claims", "scans", "done", "done_at", "fence")
)
_KEPT_MS = 24 * 3600 * 1000
"""How long it is remembered that a scan was saved, and that a target was taken over."""
_ALSO_WITHOUT_MEMORY = "#!lua flags=allow-oom\n"
"""Understood since Redis 7."""
_SHEBANG_UNKNOWN = ("compil", "unexpected symbol")

_COMMON = """
local instances, claims, scans, done, done_at, fence = unpack(KEYS)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me = ARGV[1]
local function read(key, field)
  local text = redis.call('HGET', key, field)
  return text and cjson.decode(text) or nil
end
local function holder_of(claim)
  local holder = claim.holder ~= '' and read(instances, claim.holder) or nil
  return holder, holder ~= nil and holder.lapses > now
end
local function let_go(target, claim)
  if claim.marked then
    claim.holder, claim.at = '', now
    redis.call('HSET', claims, target, cjson.encode(claim))
  else
    redis.call('HDEL', claims, target)
  end
end
"""
"""A claim that was taken over leaves a mark, so that who lost it finds that out."""

_CLAIM = """
local scan, target, order, again = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local own = read(instances, me)
if not own or own.lapses <= now then return {'late'} end
if scan ~= '' then
  if again == '1' then redis.call('HDEL', done, scan) end
  if redis.call('HEXISTS', done, scan) == 1 then return {'done'} end
end
local row = cjson.encode({target = target, order = order})
local claim = read(claims, target)
if claim and claim.holder == me then
  if scan ~= '' then redis.call('HSET', scans, scan, row) end
  return {'mine', claim.fence, claim.from, claim.by}
end
local from, by, marked = '', '', false
if claim then
  local other, alive = holder_of(claim)
  if alive then
    if scan ~= '' then redis.call('HSETNX', scans, scan, row) end
    return {'held', other.name}
  end
  marked = claim.marked or claim.holder ~= ''
  if claim.holder ~= '' then
    from, by = other and other.machine or '?', claim.name
  end
end
local number = redis.call('INCR', fence)
redis.call('HSET', claims, target, cjson.encode({
  holder = me, name = own.name, fence = number, from = from, by = by, marked = marked}))
if scan ~= '' then redis.call('HSET', scans, scan, row) end
return {'mine', number, from, by}
"""

_RENEW = """
local row = cjson.decode(ARGV[2])
row.lapses = now + tonumber(ARGV[3])
redis.call('HSET', instances, me, cjson.encode(row))
local n_held = tonumber(ARGV[4])
local lost = {}
for i = 5, 4 + 2 * n_held, 2 do
  local target, number = ARGV[i], tonumber(ARGV[i + 1])
  local claim = read(claims, target)
  if not claim then
    if tonumber(redis.call('GET', fence) or '0') < number then redis.call('SET', fence, number) end
    redis.call('HSET', claims, target, cjson.encode({
      holder = me, name = row.name, fence = number, from = '', by = '', marked = false}))
  elseif claim.holder ~= me or claim.fence ~= number then
    lost[#lost + 1] = target
    lost[#lost + 1] = claim.name
  end
end
local loads, alive = {}, {}
local found = redis.call('HGETALL', instances)
for i = 1, #found, 2 do
  local other = cjson.decode(found[i + 1])
  if other.lapses > now then
    alive[found[i]] = true
    if other.listens then loads[found[i]] = 0 end
  elseif other.lapses < now - KEPT then
    redis.call('HDEL', instances, found[i])
  end
end
local free = {}
local taken = {}
found = redis.call('HGETALL', claims)
for i = 1, #found, 2 do
  local claim = cjson.decode(found[i + 1])
  if loads[claim.holder] then loads[claim.holder] = loads[claim.holder] + 1 end
  if alive[claim.holder] then taken[found[i]] = true end
  if claim.holder == '' and claim.at < now - KEPT then redis.call('HDEL', claims, found[i]) end
end
found = redis.call('HGETALL', scans)
for i = 1, #found, 2 do
  if not taken[cjson.decode(found[i + 1]).target] then free[#free + 1] = found[i + 1] end
end
local flat = {}
for instance, load in pairs(loads) do
  flat[#flat + 1] = instance
  flat[#flat + 1] = load
end
local over = {}
for i = 5 + 2 * n_held, #ARGV do
  local report = redis.call('HGET', done, ARGV[i])
  if report then over[#over + 1] = report end
end
return {lost, flat, free, over}
""".replace("KEPT", str(_KEPT_MS))

_NOTE = """
local scan, target, order, number = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local claim = read(claims, target)
if claim and claim.holder == me and claim.fence == number then
  redis.call('HSET', scans, scan, cjson.encode({target = target, order = order}))
end
return {}
"""

_FINISH = """
local scan, target, report, number = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local claim = read(claims, target)
if claim and claim.holder == me and claim.fence == number then
  redis.call('HDEL', scans, scan)
  redis.call('HSET', done, scan, report)
  redis.call('ZADD', done_at, now, scan)
  local old = redis.call('ZRANGEBYSCORE', done_at, 0, now - KEPT, 'LIMIT', 0, 100)
  for _, key in ipairs(old) do
    redis.call('HDEL', done, key)
    redis.call('ZREM', done_at, key)
  end
end
return {}
""".replace("KEPT", str(_KEPT_MS))

_RELEASE = """
for i = 2, #ARGV, 2 do
  local claim = read(claims, ARGV[i])
  if claim and claim.holder == me and claim.fence == tonumber(ARGV[i + 1]) then
    let_go(ARGV[i], claim)
  end
end
return {}
"""

_LEAVE = """
local found = redis.call('HGETALL', claims)
for i = 1, #found, 2 do
  local claim = cjson.decode(found[i + 1])
  if claim.holder == me then let_go(found[i], claim) end
end
redis.call('HDEL', instances, me)
return {}
"""


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
            _RENEW, msgspec.json.encode(own), int(lease_s * 1000), len(held), *pairs, *watched
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
        kind, *facts = self._run(_CLAIM, scan, target, order, str(int(again)))
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
        self._run(_NOTE, scan, target, order, fence)

    def finish(self, scan: str, target: str, report: str, fence: int) -> None:
        """The scan is saved, unless the claim was lost: then somebody else will say so.

        Args:
            scan: its key.
            target: path.
            report: JSON, for the other instances.
            fence: number of the claim.
        """
        self._run(_FINISH, scan, target, report, fence)

    def release(self, held: Mapping[str, int]) -> None:
        """Part from targets: target -> fencing number."""
        self._run(_RELEASE, *[part for pair in held.items() for part in pair])

    def leave(self) -> None:
        """Part from everything; scans that are not saved are for the others."""
        self._run(_LEAVE)

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
                f"{self._first_line}{_COMMON}{script}",
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
