-- write_done.lua: note what became of a batch of queued writes.
-- KEYS[1] queue       hash of a kind: id -> "version attempts queued_ms JSON"
-- KEYS[2] order       zset: id by the time of its oldest write still in the queue
-- KEYS[3] due         zset: id by the time when a writer may take it
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2+] writes     per write: id, version, '' if stored, else ms until a retry
-- returns how many left the queue
-- Why a script: a newer write that came between looking and removing would be lost.
-- include clock.lua
local queue, order, due, now = KEYS[1], KEYS[2], KEYS[3], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local removed = 0

local function done(id, version, retry_ms)
  local entry = redis.call('HGET', queue, id)
  if not entry then return end -- another writer stored it
  local waiting, attempts, queued, body = entry:match('^(%d+) (%d+) (%d+) (.*)$')
  if not waiting then -- not ours: it waits until it is written anew
    redis.call('ZADD', due, text(now + tonumber(retry_ms)), id)
  elseif retry_ms ~= '' then
    local head = waiting .. ' ' .. text(attempts + 1) .. ' ' .. queued .. ' '
    redis.call('HSET', queue, id, head .. body)
    redis.call('ZADD', due, text(now + tonumber(retry_ms)), id)
  elseif waiting == version then
    removed = removed + 1
    redis.call('HDEL', queue, id)
    redis.call('ZREM', order, id)
    redis.call('ZREM', due, id)
  elseif tonumber(waiting) > tonumber(version) then -- a newer write waits: its turn
    redis.call('HSET', queue, id, waiting .. ' 0 ' .. queued .. ' ' .. body)
    redis.call('ZADD', order, queued, id)
    redis.call('ZADD', due, text(now), id)
  end
end

for i = 2, #ARGV, 3 do done(unpack(ARGV, i, i + 2)) end
return removed
