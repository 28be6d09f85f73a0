-- session_touch.lua: note that a session is in use, if it still is one.
-- It then lives idle_ms longer, but never beyond ends_ms. A clock that was set back
-- shortens nothing.
-- KEYS[1] session     hash of one session
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] want        1: return the session, 0: only whether it is there
-- returns nothing when there is no session (any more); else 1, or created_us,
-- last_us and data
-- Why a script: a session that is deleted or over between the look and the write
-- would be written anew, without a user and without an end.
-- include clock.lua
-- include micros.lua
local session, us = KEYS[1], clock_us(ARGV[1])
if not us then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local now = math.floor(us / 1000)
local row = redis.call('HMGET', session, 'expires_ms', 'idle_ms', 'ends_ms', 'last_us',
  'created_us', 'data')
local expires = tonumber(row[1] or 0)
if now >= expires then return {} end

local last = text(math.max(us, tonumber(row[4])))
expires = math.max(expires, math.min(now + row[2], tonumber(row[3])))
redis.call('HSET', session, 'last_us', last, 'expires_ms', text(expires))
redis.call('PEXPIRE', session, expires - now)
return ARGV[2] == '1' and { row[5], last, row[6] } or { 1 }
