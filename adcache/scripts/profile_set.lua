-- profile_set.lua: store a user's profile, and note its segment in the user's list.
-- KEYS[1] profile      JSON array that begins with when it expires, in ms
-- KEYS[2] memberships  zset of this user: segment -> when the membership ends
-- KEYS[3] suppressed   is there while nothing of this user may be stored
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] record       the JSON array without its first element
-- ARGV[3] ttl_ms       how long the profile lives
-- ARGV[4] segment      the profile's own segment
-- ARGV[5] segment_ttl  ms that a membership lasts
-- ARGV[6] most         segments that a user may be in
-- returns nil when suppressed, else the segments that the user must leave
-- Why a script: the profile and the list must name the same segment, and a user
-- suppressed between the check and the write would be stored again.
-- include clock.lua
-- include memberships.lua
local now = clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
if redis.call('EXISTS', KEYS[3]) == 1 then return false end

local expires = text(now + tonumber(ARGV[3]))
redis.call('SET', KEYS[1], '[' .. expires .. ',' .. ARGV[2], 'PX', ARGV[3])
return enter(KEYS[2], ARGV[4], true, now, tonumber(ARGV[5]), tonumber(ARGV[6]))
