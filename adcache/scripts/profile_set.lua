-- profile_set.lua: store a user's profile, and note its segment in the user's list.
-- KEYS[1] profile      JSON array that begins with when it expires, in ms
-- KEYS[2] memberships  zset of this user: segment -> when the membership ends
-- KEYS[3] suppressed   is there while nothing of this user may be stored
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] record       the rest of the JSON array, without its opening bracket
-- ARGV[3] ttl_ms       how long the profile lives
-- ARGV[4] segment      the profile's own segment
-- ARGV[5] segment_ttl  ms that a membership lasts
-- ARGV[6] most         segments that a user may be in
-- returns nil when suppressed, else the segments that the user must leave
-- Why a script: the profile and the list must name the same segment, and a user
-- suppressed between the check and the write would be stored again.
-- include clock.lua
-- include memberships.lua
local profile, memberships, segment = KEYS[1], KEYS[2], ARGV[4]
local now, ttl = clock(ARGV[1]), tonumber(ARGV[5])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
if redis.call('EXISTS', KEYS[3]) == 1 then return false end

local expires = text(now + tonumber(ARGV[3]))
redis.call('SET', profile, '[' .. expires .. ',' .. ARGV[2], 'PX', ARGV[3])
local list = redis.call('ZRANGE', memberships, 0, -1, 'WITHSCORES')
for i = 1, #list, 2 do
  local former = list[i] ~= segment and is_own(list[i + 1])
  if former then redis.call('ZADD', memberships, 0, list[i]) end
end
return enter(memberships, segment, text(now + ttl) .. '.5', now, ttl, tonumber(ARGV[6]))
