-- frequency_snapshot.lua: read all windows and leases of a user, and the time.
-- KEYS[1] windows     hash of one user: "campaign:seconds" -> count and end of a window,
--                     "campaign~leases" -> "expiry_ms lease ..."
-- KEYS[2] suppressed  there while this user's data must not be used
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns the time in ms, then field, value, field, value ...; nothing at all for a
--   suppressed user
-- Why a script: what is over depends on the clock that wrote it, so the fields
-- and that clock's time belong together.
-- include clock.lua
-- include hash_clock.lua
local windows, now = KEYS[1], clock(ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 1 then return {} end
local reply = redis.call('HGETALL', windows)
local timeless = not now
for i = 1, ARGV[1] == '' and #reply or 0, 2 do timeless = timeless or reply[i] == '~end' end
table.insert(reply, 1, text(timeless and clock_of(windows) or now))
return reply
