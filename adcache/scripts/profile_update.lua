-- profile_update.lua: add to a profile's score and note the time, if there is one.
-- KEYS[1] profile      JSON array: expires in ms, last activity in us, score, ...
-- KEYS[2] suppressed   is there while nothing of this user may be stored
-- KEYS[3] activities   zset of activity ids counted: id -> when it is forgotten, ms
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] delta        what to add to the score
-- ARGV[3] activity     id of the activity, or '' when a retry may count again
-- ARGV[4] remember     ms that an id is remembered
-- ARGV[5] most         ids that are remembered
-- returns nil without a profile, else last activity in us, score as text, 1 if a
-- repetition; a score of "inf" was refused and not written
-- Why a script: of two servers that read a score and write it back, one loses its
-- delta; and HSET on a profile that has just expired makes a ghost.
local record = redis.call('GET', KEYS[1])
if not record or redis.call('EXISTS', KEYS[2]) == 1 then return false end
local expires, seen, score, rest = record:match('^%[(%-?%d+),(%-?%d+),([^,]+)(,.*)$')
if not rest then return redis.error_reply('BROKEN this profile was not written by adcache') end

local now_us = (tonumber(ARGV[1]) or 0) * 1000
if ARGV[1] == '' then
  local time = redis.pcall('TIME')
  if time.err then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
  now_us = time[1] * 1000000 + time[2]
end
local now = math.floor(now_us / 1000)
if tonumber(expires) <= now then return false end

-- The text of a double that reads back as the same double, also from JSON, where
-- -0 would be a whole number, and those have no sign.
local function exact(number)
  local short = string.format('%.15g', number)
  if short == '-0' then return '-0.0' end
  return tonumber(short) == number and short or string.format('%.17g', number)
end
-- A whole number as text; '..' would write large ones as 1.8e+15.
local function text(number) return string.format('%.0f', number) end

local activities, activity = KEYS[3], ARGV[3]
local forgotten = activity ~= '' and redis.call('ZSCORE', activities, activity)
if forgotten and tonumber(forgotten) > now then return { seen, score, 1 } end

local sum = tonumber(score) + tonumber(ARGV[2])
if sum - sum ~= 0 then return { seen, 'inf', 0 } end
if tonumber(seen) < now_us then seen = text(now_us) end
score = exact(sum)
redis.call('SET', KEYS[1], '[' .. expires .. ',' .. seen .. ',' .. score .. rest, 'XX', 'KEEPTTL')
if activity ~= '' then
  redis.call('ZADD', activities, text(now + tonumber(ARGV[4])), activity)
  redis.call('ZREMRANGEBYSCORE', activities, '-inf', text(now))
  redis.call('ZREMRANGEBYRANK', activities, 0, -1 - tonumber(ARGV[5]))
  redis.call('PEXPIRE', activities, ARGV[4])
end
return { seen, score, 0 }
