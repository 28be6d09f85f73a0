-- session_revoke.lua: end a session if it is this user's, or will be in a moment.
-- The list of a user is written before the session is: whoever finds an id in the
-- list and no session may be just in between. A mark is left that makes
-- session_create.lua refuse this user until it has faded.
-- KEYS[1] session     hash of one session
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] user        the user's id, as it stands in keys
-- ARGV[3] mark_ms     how long the mark stays
-- returns 1 when an open session was ended, else 0
-- Why a script: the session must not begin between the DEL and the mark.
-- include clock.lua
local session, now, user, mark = KEYS[1], clock(ARGV[1]), ARGV[2], tonumber(ARGV[3])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local row = redis.call('HMGET', session, 'user', 'expires_ms')
local open = row[1] and now < tonumber(row[2])
if open and row[1] ~= user then return 0 end
redis.call('DEL', session)
redis.call('HSET', session, 'revoked', text(now + mark) .. ' ' .. user)
redis.call('PEXPIRE', session, mark)
return open and 1 or 0
