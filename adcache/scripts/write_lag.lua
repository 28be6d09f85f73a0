-- write_lag.lua: how far the system of record is behind.
-- KEYS[1] order       zset: id by the time of its oldest write still in the queue
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns queued writes, age of the oldest in ms
-- Why a script: the age is the difference of two times of one clock.
-- include clock.lua
local order, now = KEYS[1], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local oldest = redis.call('ZRANGE', order, 0, 0, 'WITHSCORES')[2]
return { redis.call('ZCARD', order), oldest and math.max(0, now - tonumber(oldest)) or 0 }
