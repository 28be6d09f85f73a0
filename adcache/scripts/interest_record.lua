-- interest_record.lua: add what one page event says about a visitor's interests.
-- A score s that was written at time t is worth s * 2^(-(now - t) / half_life) now.
-- Source: `decayed` in targeting.py, which computes the same.
-- KEYS[1] interests   hash: interest -> "score at_ms"; ":ends" -> when all is over (ms);
--                     ":session" -> when the session began that they are of, or ''
-- KEYS[2] events      list of the events that were counted, the newest first
-- KEYS[3] session     hash of the session, if SessionManager knows one
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] half_ms     half-life in ms
-- ARGV[3] ttl_ms      how long the interests live after the last event
-- ARGV[4] most        interests that are kept, the weakest go
-- ARGV[5] live        1: only for an open session
-- ARGV[6] event       the event, '' for one that may count twice
-- ARGV[7] known       events that are remembered
-- ARGV[8+] weights    per interest: its name as in keys, what to add
-- returns 1 counted, 0 counted before or nothing to add, -1 there is no such session
--   or it was revoked a moment ago
-- Why a script: of two pages that read the same score, one would undo the other.
-- include clock.lua
-- include session_now.lua
local interests, events, now, event = KEYS[1], KEYS[2], clock(ARGV[1]), ARGV[6]
local half, ttl, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
if #ARGV < 8 then return 0 end
local began, revoked = session_now(KEYS[3], now)
if revoked or ARGV[5] == '1' and began == '' then return -1 end
local old = redis.call('HMGET', interests, ':ends', ':session')
if old[1] and (now >= tonumber(old[1]) or old[2] ~= began) then
  redis.call('DEL', interests, events) -- whoever has the id next inherits nothing
end
if event ~= '' then
  if redis.call('LPOS', events, event) then return 0 end
  redis.call('LPUSH', events, event)
  redis.call('LTRIM', events, 0, ARGV[7] - 1)
end

-- What a field is worth now. A clock that was set back makes nothing grow.
local function worth(state)
  local score, at = state:match('^(%S+) (%d+)$')
  at = tonumber(at)
  return tonumber(score) * 2 ^ (-math.max(0, now - at) / half), math.max(at, now)
end

for i = 8, #ARGV, 2 do
  local score, at = worth(redis.call('HGET', interests, ARGV[i]) or '0 0')
  local sum = string.format('%.17g', score + ARGV[i + 1])
  redis.call('HSET', interests, ARGV[i], sum .. ' ' .. text(at))
end
redis.call('HSET', interests, ':ends', text(now + ttl), ':session', began)

local over = redis.call('HLEN', interests) - 2 - most
if over > 0 then
  local all, fields = redis.call('HGETALL', interests), {}
  for i = 1, #all, 2 do
    if all[i]:sub(1, 1) ~= ':' then
      fields[#fields + 1] = { name = all[i], score = (worth(all[i + 1])) }
    end
  end
  table.sort(fields, function(a, b)
    return a.score < b.score or a.score == b.score and a.name > b.name
  end)
  for i = 1, over do redis.call('HDEL', interests, fields[i].name) end
end
redis.call('PEXPIRE', interests, ttl)
redis.call('PEXPIRE', events, ttl)
return 1
