-- segment_enter.lua: note in the user's list that the user enters a segment.
-- KEYS[1] memberships  zset of this user: segment -> when the membership ends
-- KEYS[2] suppressed   is there while nothing of this user may be stored
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] segment      the segment
-- ARGV[3] segment_ttl  ms that a membership lasts
-- ARGV[4] most         segments that a user may be in
-- returns nil when suppressed, else the segments that the user must leave
-- Why a script: a user suppressed between the check and the write would be listed.
-- include clock.lua
-- include memberships.lua
local now = clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
return enter(KEYS[1], ARGV[2], false, now, tonumber(ARGV[3]), tonumber(ARGV[4]))
