-- segment_join.lua: make a user the newest member of a segment.
-- KEYS[1] members      zset: user -> ms of joining; later ones are always higher
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] user         the user
-- ARGV[3] segment_ttl  ms that a membership lasts
-- ARGV[4] most         members that a segment may have
-- returns 1 when the user is new there, 0 when it was a member
-- Why a script: whoever is over, or too many, must go in the same step.
-- include clock.lua
local members, user, ttl = KEYS[1], ARGV[2], tonumber(ARGV[3])
local now = clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end

-- Within one ms, or when the clock was set back, the order of arrival decides.
local newest = redis.call('ZRANGE', members, -1, -1, 'WITHSCORES')
local at, last = now, tonumber(newest[2] or 0)
if last >= now and newest[1] ~= user then at = last + 0.001 end
local created = redis.call('ZADD', members, 'GT', string.format('%.4f', at), user)

local over = redis.call('ZCOUNT', members, '-inf', '(' .. text(now - ttl + 1))
local excess = created == 1 and redis.call('ZCARD', members) - tonumber(ARGV[4]) or 0
local gone = math.min(math.max(over, excess), 10000) -- the rest goes with the next
if gone > 0 then redis.call('ZREMRANGEBYRANK', members, 0, gone - 1) end
if redis.call('PTTL', members) < ttl then redis.call('PEXPIRE', members, ARGV[3]) end
return created
