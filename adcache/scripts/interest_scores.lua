-- interest_scores.lua: read a visitor's interests and the time that it is now.
-- KEYS[1] interests   hash: interest -> "score at_ms"; ":ends" -> when all is over (ms);
--                     ":session" -> when the session began that they are of, or ''
-- KEYS[2] session     hash of the session, if SessionManager knows one
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns now (ms), then per interest: its name as in keys, "score at_ms"
-- Why a script: the reader lets the scores decay until now, and only the server
-- knows when that is; and between two reads the id could become another session's.
-- include clock.lua
-- include session_now.lua
local interests, session, now = KEYS[1], KEYS[2], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local all, reply, ends, whose = redis.call('HGETALL', interests), { text(now) }, 0, nil
for i = 1, #all, 2 do
  if all[i] == ':ends' then
    ends = tonumber(all[i + 1])
  elseif all[i] == ':session' then
    whose = all[i + 1]
  else
    reply[#reply + 1], reply[#reply + 2] = all[i], all[i + 1]
  end
end
local theirs = now < ends and whose == session_now(session, now)
return theirs and reply or { text(now) }
