-- session_unlist.lua: take sessions that were revoked off their user's list.
-- KEYS[1] list        zset of one user: session ids by absolute end (ms)
-- ARGV[1+] ended      per session: id, absolute end (ms) as it stood in the list
-- returns how many were taken off
-- Why a script: a session that began since then with the id of one that ended has
-- a later end, so it stays; a bare ZREM would hide it from "log out everywhere".
local list, gone = KEYS[1], 0
for i = 1, #ARGV, 2 do
  local ends = redis.call('ZSCORE', list, ARGV[i])
  if ends and tonumber(ends) == tonumber(ARGV[i + 1]) then
    gone = gone + redis.call('ZREM', list, ARGV[i])
  end
end
return gone
