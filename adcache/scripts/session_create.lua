-- session_create.lua: begin a session, unless someone else's has this id.
-- KEYS[1] session     hash of one session
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] user        the user's id as it stands in keys, '' for nobody in particular
-- ARGV[3] idle_ms     how long the session lives without activity
-- ARGV[4] age_ms      how long it lives at most
-- ARGV[5] ends_ms     when that is, if session_enlist.lua has said so, else ''
-- ARGV[6] data        what the session holds, as JSON
-- returns 'created'; 'same' when this very session is there (a retry after a lost
-- reply); 'taken' by another user; 'revoked' a moment ago (session_revoke.lua)
-- Why a script: of two users who both find the id free, the second would take over
-- the session of the first.
-- include clock.lua
-- include micros.lua
local session, us, user = KEYS[1], clock_us(ARGV[1]), ARGV[2]
local idle, age, data = ARGV[3], ARGV[4], ARGV[6]
if not us then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local now = math.floor(us / 1000)
local ends = tonumber(ARGV[5]) or now + age

local old = redis.call('HMGET', session, 'expires_ms', 'user', 'idle_ms', 'age_ms',
  'data', 'revoked')
if old[1] and now < tonumber(old[1]) then
  if old[2] ~= user then return 'taken' end
  if old[3] == idle and old[4] == age and old[5] == data then return 'same' end
end
local moment, whom = (old[6] or ''):match('^(%d+) (.*)$')
if whom == user and now < tonumber(moment) then return 'revoked' end

local expires = math.min(now + idle, ends)
redis.call('HSET', session, 'user', user, 'data', data, 'idle_ms', idle, 'age_ms', age,
  'ends_ms', text(ends), 'expires_ms', text(expires),
  'created_us', text(us), 'last_us', text(us))
redis.call('PEXPIRE', session, math.max(expires - now, 1))
return 'created'
