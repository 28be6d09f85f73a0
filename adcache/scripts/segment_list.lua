-- segment_list.lua: list what has not ended, the newest first.
-- KEYS[1] list         zset by time: a segment's members, or a user's segments
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] ttl_ms       entries end so long after their score
-- ARGV[3] limit        how many at most; -1 counts them instead
-- returns the entries, or their number
-- Why a script: only the server knows what time it is there.
-- include clock.lua
local now = clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local from = text(now - tonumber(ARGV[2]) + 1)
if ARGV[3] == '-1' then return redis.call('ZCOUNT', KEYS[1], from, '+inf') end
return redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', from, 'LIMIT', 0, ARGV[3])
