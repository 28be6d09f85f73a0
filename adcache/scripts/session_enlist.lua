-- session_enlist.lua: note a session that is about to begin in its user's list.
-- The list never knows too little: it names a session before it is there, until
-- the last moment that a session of this id may live.
-- KEYS[1] list        zset of one user: session ids by absolute end (ms)
-- KEYS[2] suppressed  flag of a user who is to be forgotten
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] session     the session's id, as it stands in keys
-- ARGV[3] age_ms      how long the session may live, however active
-- ARGV[4] most        sessions that the list may hold
-- returns nothing for a suppressed user, else when the session ends at the latest
-- (ms), followed by id and end of each session that is one too many
-- Why a script: between reading the flag and adding to the list, the user could be
-- suppressed and the list read for the last time.
-- include clock.lua
local list, suppressed, now, session = KEYS[1], KEYS[2], clock(ARGV[1]), ARGV[2]
local age, most = tonumber(ARGV[3]), tonumber(ARGV[4])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
if redis.call('EXISTS', suppressed) == 1 then return {} end

redis.call('ZREMRANGEBYSCORE', list, '-inf', text(now)) -- they are over by now
local ends = now + age
local known = tonumber(redis.call('ZSCORE', list, session) or 0)
redis.call('ZADD', list, text(math.max(ends, known)), session)
if redis.call('PTTL', list) < ends - now then redis.call('PEXPIRE', list, ends - now) end

local reply = { text(ends) }
local over = math.min(redis.call('ZCARD', list) - most, 100)
local first = over > 0 and redis.call('ZRANGE', list, 0, over, 'WITHSCORES') or {}
for i = 1, #first, 2 do
  if first[i] ~= session and #reply < 2 * over then
    reply[#reply + 1], reply[#reply + 2] = first[i], text(tonumber(first[i + 1]))
  end
end
return reply
