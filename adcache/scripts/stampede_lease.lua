-- stampede_lease.lua: give one caller the right to load a record.
-- KEYS[1] record      string: "fresh_until_ms load_ms token JSON"
-- KEYS[2] lease       hash: token (the last given), floor, owner, until_ms; after a
--                     failed load paused_ms and why
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] owner       who asks; the same owner asking again is a retry
-- ARGV[3] lease_ms    how long nobody else may load
-- ARGV[4] memory_ms   how long a late loader can still be told from a newer one
-- ARGV[5] seen        token of the copy that the caller wants renewed, or ''
-- returns verdict, now, the copy or '', token, ms left, why
--   fresh: a copy has come; load: with this token; wait: so long another caller may
--   load; paused: so long nobody shall load, and why
-- Why a script: of two callers that both find no lease, both would load.
--
-- Tokens grow (fencing): a load may be kept if its token is above that of the
-- copy, and above `floor`: what put, invalidate or a lost hash have made void.
-- include clock.lua
-- include tokens.lua
local record, lease, owner, seen = KEYS[1], KEYS[2], ARGV[2], ARGV[5]
local now = clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local copy = redis.call('GET', record) or ''
local fresh_until, copy_token = copy:match('^(%d+) %d+ (%d+) ')
if fresh_until and tonumber(fresh_until) > now and copy_token ~= seen then
  return { 'fresh', now, copy, '', 0, '' }
end

local state = redis.call('HMGET', lease, 'token', 'owner', 'until_ms', 'paused_ms', 'why')
local token, holder = state[1], state[2]
local left, pause = (tonumber(state[3]) or 0) - now, (tonumber(state[4]) or 0) - now
if left > 0 and holder == owner then return { 'load', now, copy, token, left, '' } end
if left > 0 then return { 'wait', now, copy, '', left, '' } end
if pause > 0 then return { 'paused', now, copy, '', pause, state[5] } end

local last = math.max(tonumber(token) or 0, tonumber(copy_token) or 0)
local mine = text(token_after(last, now))
if not token then redis.call('HSET', lease, 'floor', text(mine - 1)) end
redis.call('HSET', lease, 'token', mine, 'owner', owner, 'until_ms',
  text(now + tonumber(ARGV[3])))
redis.call('HDEL', lease, 'paused_ms', 'why')
redis.call('PEXPIRE', lease, ARGV[4])
return { 'load', now, copy, mine, tonumber(ARGV[3]), '' }
