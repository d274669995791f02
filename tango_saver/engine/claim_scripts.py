"""The steps of claiming, as Redis carries them out: Lua, each as a whole or not at all.

``KEYS`` are those of ``claim``; the first of ``ARGV`` is the identity of the instance.
"""

from __future__ import annotations

_KEPT_MS = 24 * 3600 * 1000
"""How long it is remembered that a scan was saved, and that a target was taken over."""

COMMON = """
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

CLAIM = """
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

RENEW = """
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

NOTE = """
local scan, target, order, number = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local claim = read(claims, target)
if claim and claim.holder == me and claim.fence == number then
  redis.call('HSET', scans, scan, cjson.encode({target = target, order = order}))
end
return {}
"""

FINISH = """
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

RELEASE = """
for i = 2, #ARGV, 2 do
  local claim = read(claims, ARGV[i])
  if claim and claim.holder == me and claim.fence == tonumber(ARGV[i + 1]) then
    let_go(ARGV[i], claim)
  end
end
return {}
"""

LEAVE = """
local found = redis.call('HGETALL', claims)
for i = 1, #found, 2 do
  local claim = cjson.decode(found[i + 1])
  if claim.holder == me then let_go(found[i], claim) end
end
redis.call('HDEL', instances, me)
return {}
"""
