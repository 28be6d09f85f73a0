-- segment_leave.lua: take a user out of a segment.
-- KEYS[1] members      zset: user -> ms of joining
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] user         the user
-- ARGV[3] segment_ttl  ms that a membership lasts
-- returns 1 when the user was still a member, else 0
-- Why a script: whether a membership was over must be told before it is removed.
-- include clock.lua
local now = clock(ARGV[1]) or 0 -- leaving needs no clock, only the answer does
local joined = redis.call('ZSCORE', KEYS[1], ARGV[2])
redis.call('ZREM', KEYS[1], ARGV[2])
return joined and tonumber(joined) >= now - tonumber(ARGV[3]) + 1 and 1 or 0
