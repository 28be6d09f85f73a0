-- session_unlist.lua: take sessions that have ended off their user's list.
-- KEYS[1] list        zset of one user: session ids by absolute end (ms)
-- ARGV[1+] ended      per session: id, absolute end (ms)
-- returns how many were taken off
-- Why a script: a new session may have the id of the one that ended. Its end is
-- another, so it stays; a bare ZREM would hide it from "log out everywhere".
local list, gone = KEYS[1], 0
for i = 1, #ARGV, 2 do
  local ends = redis.call('ZSCORE', list, ARGV[i])
  if ends and tonumber(ends) == tonumber(ARGV[i + 1]) then
    gone = gone + redis.call('ZREM', list, ARGV[i])
  end
end
return gone
