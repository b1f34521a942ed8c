"""Lua that Redis runs at once, as a whole or not at all: what must never be seen half done.

Keys, all below `mirada:`; a job's own begin with `job:<id>`:

- `jobs` (sorted by creation), `expiry` (by when they go), `staging` (by when their upload began): ids of jobs
- `waiting` id -> images without a result, `stored` id -> bytes of images, `active` id -> when something last happened
- `keys` digest of an Idempotency-Key -> id
- `job:<id>` the job; `:images` n -> file; `:states` n -> state and error; `:results` n -> JSON; `:attempts` n -> times it
  was begun; `:leases` n -> when its worker last said that it is at it; `:order` the images in the
  order in which they were finished

Times are of the clocks of API and workers, which may be set back: what lies far ahead is then as old as what lies far back,
so that no lease and no upload holds anything up until the clock has come there again.
"""

from __future__ import annotations

_BEGIN = """
local prefix = 'mirada:'
local id = ARGV[1]
local job = prefix .. 'job:' .. id
local function total(name)
  local sum = 0
  for _, value in ipairs(redis.call('HVALS', prefix .. name)) do sum = sum + tonumber(value) end
  return sum
end
local function finished(now)
  redis.call('HDEL', prefix .. 'waiting', id)
  redis.call('HDEL', prefix .. 'active', id)
  local created = tonumber(redis.call('HGET', job, 'created_at'))
  if tonumber(now) < created then now = redis.call('HGET', job, 'created_at') end
  redis.call('HSET', job, 'ended_at', now)
  redis.call('ZADD', prefix .. 'expiry', now + tonumber(redis.call('HGET', job, 'keep_s')), id)
end
"""

# id, images, bytes, most images, most bytes, now, key, fingerprint, model -> 'new', 'known' with id and whether it is
# committed, 'other' where the key was used for another job, 'images' or 'bytes' where there are too many.
RESERVE = (
    _BEGIN
    + """
if ARGV[7] ~= '' then
  local known = redis.call('HGET', prefix .. 'keys', ARGV[7])
  if known then
    if redis.call('HGET', prefix .. 'job:' .. known, 'fingerprint') ~= ARGV[8] then return {'other'} end
    local staging = redis.call('ZSCORE', prefix .. 'staging', known)
    return {'known', known, staging and 0 or 1}
  end
end
if total('waiting') + tonumber(ARGV[2]) > tonumber(ARGV[4]) then return {'images'} end
if total('stored') + tonumber(ARGV[3]) > tonumber(ARGV[5]) then return {'bytes'} end
redis.call('HSET', prefix .. 'waiting', id, ARGV[2])
redis.call('HSET', prefix .. 'stored', id, ARGV[3])
redis.call('ZADD', prefix .. 'staging', ARGV[6], id)
redis.call('HSET', job, 'fingerprint', ARGV[8], 'key', ARGV[7], 'model', ARGV[9])
if ARGV[7] ~= '' then redis.call('HSET', prefix .. 'keys', ARGV[7], id) end
return {'new'}
"""
)

# id, now, then field, value, … -> 1, or 0 where the reservation is gone
COMMIT = (
    _BEGIN
    + """
if redis.call('ZREM', prefix .. 'staging', id) == 0 then return 0 end
redis.call('HSET', job, unpack(ARGV, 3))
redis.call('ZADD', prefix .. 'jobs', ARGV[2], id)
redis.call('HSET', prefix .. 'active', id, ARGV[2])
return 1
"""
)

# id, n, now, seconds of a lease -> how often it was begun and the file; 0 where another worker is at it; nothing where it
# has a result or the job is gone
TAKE = (
    _BEGIN
    + """
if redis.call('EXISTS', job) == 0 or redis.call('HEXISTS', job .. ':states', ARGV[2]) == 1 then return false end
local lease = redis.call('HGET', job .. ':leases', ARGV[2])
if lease and math.abs(tonumber(ARGV[3]) - tonumber(lease)) < tonumber(ARGV[4]) then return {0, ''} end
local image = redis.call('HGET', job .. ':images', ARGV[2])
if not image then return false end
redis.call('HSETNX', job, 'started_at', ARGV[3])
redis.call('HSET', prefix .. 'active', id, ARGV[3])
return {redis.call('HINCRBY', job .. ':attempts', ARGV[2], 1), image}
"""
)

# id, n, now -> 1, or 0 where the image needs nothing any more
RENEW = (
    _BEGIN
    + """
if redis.call('EXISTS', job) == 0 or redis.call('HEXISTS', job .. ':states', ARGV[2]) == 1 then return 0 end
redis.call('HSET', job .. ':leases', ARGV[2], ARGV[3])
redis.call('HSET', prefix .. 'active', id, ARGV[3])
return 1
"""
)

# id, n, now, counter ('done' or 'failed'), state with error, result or '' -> 1; 0 where it has a result already
FINISH = (
    _BEGIN
    + """
if redis.call('EXISTS', job) == 0 then return 0 end
if redis.call('HSETNX', job .. ':states', ARGV[2], ARGV[5]) == 0 then return 0 end
if ARGV[6] ~= '' then redis.call('HSET', job .. ':results', ARGV[2], ARGV[6]) end
redis.call('HINCRBY', job, ARGV[4], 1)
redis.call('RPUSH', job .. ':order', ARGV[2])
redis.call('HDEL', job .. ':attempts', ARGV[2])
redis.call('HDEL', job .. ':leases', ARGV[2])
redis.call('HSET', prefix .. 'active', id, ARGV[3])
if redis.call('HINCRBY', prefix .. 'waiting', id, -1) <= 0 then finished(ARGV[3]) end
return 1
"""
)

# id, now, state -> how many images were cancelled; -1 where there is no such job
CANCEL = (
    _BEGIN
    + """
local images = redis.call('HGET', job, 'total')
if not images then return -1 end
if redis.call('HEXISTS', job, 'ended_at') == 1 then return 0 end
local count = 0
for n = 0, tonumber(images) - 1 do
  if redis.call('HSETNX', job .. ':states', n, ARGV[3]) == 1 then
    redis.call('RPUSH', job .. ':order', n)
    count = count + 1
  end
end
redis.call('HSET', job, 'cancelled', count)
finished(ARGV[2])
return count
"""
)

# id -> 1: the job and all that is its are gone
REMOVE = (
    _BEGIN
    + """
local key = redis.call('HGET', job, 'key')
if key and key ~= '' then redis.call('HDEL', prefix .. 'keys', key) end
for _, name in ipairs({'waiting', 'stored', 'active'}) do redis.call('HDEL', prefix .. name, id) end
for _, name in ipairs({'jobs', 'expiry', 'staging'}) do redis.call('ZREM', prefix .. name, id) end
redis.call('DEL', job)
for _, part in ipairs({'images', 'states', 'results', 'attempts', 'leases', 'order'}) do
  redis.call('UNLINK', job .. ':' .. part)
end
return 1
"""
)

# '', '' -> images that wait, bytes stored
TOTALS = _BEGIN + "return {total('waiting'), total('stored')}\n"
