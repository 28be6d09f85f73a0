-- stampede_release.lua: end a lease whose load failed.
-- KEYS[1] lease       hash as in stampede_lease.lua
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] token       what the lease gave
-- ARGV[3] pause_ms    how long nobody shall load, 0 if the next may at once
-- ARGV[4] why         kind of error, told to those who ask in the pause
-- returns 1 if the lease was still this caller's, else 0
-- Why a script: the lease could end, and be another caller's, just before it is
-- removed.
-- include clock.lua
local lease, now = KEYS[1], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
if redis.call('HGET', lease, 'token') ~= ARGV[2] then return 0 end
redis.call('HDEL', lease, 'owner', 'until_ms')
if ARGV[3] ~= '0' then
  redis.call('HSET', lease, 'paused_ms', text(now + tonumber(ARGV[3])), 'why', ARGV[4])
end
return 1
