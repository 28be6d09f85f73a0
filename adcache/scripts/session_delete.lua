-- session_delete.lua: end a session and say whose it was.
-- KEYS[1] session     hash of one session
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns nothing when there is none, else its user, its absolute end (ms), and
-- 1 when it was still open
-- Why a script: a session that begins between the look and the DEL would be gone
-- and stay in the list of its user.
-- include clock.lua
local session, now = KEYS[1], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local row = redis.call('HMGET', session, 'user', 'ends_ms', 'expires_ms')
if not row[1] then return {} end
redis.call('DEL', session)
return { row[1], row[2], now < tonumber(row[3]) and 1 or 0 }
