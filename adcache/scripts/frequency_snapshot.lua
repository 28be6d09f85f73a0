-- frequency_snapshot.lua: read all windows and leases of a user, and the time.
-- KEYS[1] windows     hash of one user: "campaign:window_ms" -> "expiry_ms count",
--                     "campaign~leases" -> "expiry_ms lease ..."
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns the time in ms, then field, value, field, value ...
-- Why a script: what is over depends on the clock that wrote it, so the fields
-- and that clock's time belong together.
-- include clock.lua
-- include hash_clock.lua
-- include windows_clock.lua
local reply = redis.call('HGETALL', windows)
table.insert(reply, 1, text(now))
return reply
