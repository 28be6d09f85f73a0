-- stampede_put.lua: write a newer copy, or remove it; no load under way may undo it.
-- KEYS[1] record      string: "fresh_until_ms load_ms token JSON"
-- KEYS[2] lease       hash as in stampede_lease.lua
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] memory_ms   how long a late loader can still be told from a newer one
-- ARGV[3] fresh_ms    how long the copy is fresh
-- ARGV[4] keep_ms     how long Redis keeps it; 0: remove it
-- ARGV[5] body        JSON, '' for "there is no such record"
-- returns 1 if there was a copy, else 0
-- Why a script: a load that began before and is written in between would stay.
-- include clock.lua
-- include tokens.lua
local record, lease, now = KEYS[1], KEYS[2], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local copy = redis.call('GET', record) or ''
local load_ms, stands = copy:match('^%d+ (%d+) (%d+) ')
local last = math.max(tonumber(redis.call('HGET', lease, 'token')) or 0, tonumber(stands) or 0)
local mine = text(token_after(last, now))

redis.call('HSET', lease, 'token', mine, 'floor', mine)
redis.call('HDEL', lease, 'owner', 'until_ms', 'paused_ms', 'why')
redis.call('PEXPIRE', lease, ARGV[2])
if ARGV[4] == '0' then
  redis.call('DEL', record)
else
  local head = text(now + tonumber(ARGV[3])) .. ' ' .. (load_ms or 0) .. ' ' .. mine .. ' '
  redis.call('SET', record, head .. ARGV[5], 'PX', ARGV[4])
end
return copy ~= '' and 1 or 0
