-- session_delete.lua: end a session.
-- KEYS[1] session     hash of one session
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns 1 when it was open, else 0
-- Why a script: the mark of session_revoke.lua, if there is no session, must stay;
-- between the look and a DEL it could be written.
-- include clock.lua
local session, now = KEYS[1], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local expires = redis.call('HGET', session, 'expires_ms')
if not expires then return 0 end
redis.call('DEL', session)
return now < tonumber(expires) and 1 or 0
