-- profile_delete.lua: remove a profile, and mark the segments that the user leaves.
-- KEYS[1] profile      JSON array
-- KEYS[2] memberships  zset of this user: segment -> when the membership ends
-- KEYS[3] activities   zset of activity ids counted
-- ARGV[1] everywhere   1 leave all segments, 0 the profile's own
-- returns how many of profile and activities were there, then the segments to leave
-- Why a script: a profile stored again in between would lose its segment.
local memberships, reply = KEYS[2], { redis.call('DEL', KEYS[1], KEYS[3]) }
local list = redis.call('ZRANGE', memberships, 0, -1, 'WITHSCORES')
for i = 1, #list, 2 do
  local own = list[i + 1]:sub(-2) == '.5' -- as memberships.lua writes it
  if ARGV[1] == '1' or own or list[i + 1] == '0' then
    redis.call('ZADD', memberships, 0, list[i])
    reply[#reply + 1] = list[i]
  end
end
return reply
