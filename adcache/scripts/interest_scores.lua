-- interest_scores.lua: read a visitor's interests and the time that it is now.
-- KEYS[1] interests   hash: interest -> "score at_ms"; ":ends" -> when all is over (ms)
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns now (ms), then per interest: its name as in keys, "score at_ms"
-- Why a script: the reader lets the scores decay until now, and only the server
-- knows when that is.
-- include clock.lua
local now, reply = clock(ARGV[1]), {}
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= ':ends' then
    reply[#reply + 1], reply[#reply + 2] = all[i], all[i + 1]
  elseif now >= tonumber(all[i + 1]) then
    return { text(now) }
  end
end
return { text(now), unpack(reply) }
