-- write_take.lua: take a batch of queued writes for a while.
-- KEYS[1] queue       hash of a kind: id -> "version attempts queued_ms JSON"
-- KEYS[2] due         zset: id by the time when a writer may take it
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] limit       ids in the batch
-- ARGV[3] lease_ms    how long no other writer takes them
-- returns per write, flat: id, its entry
-- Why a script: two writers that both read the queue would do all the work twice.
--
-- Nothing leaves the queue here: a writer that is killed has lost nothing, and its
-- batch is due again when the lease has ended.
-- include clock.lua
local queue, due, now = KEYS[1], KEYS[2], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local reply = {}
local ids = redis.call('ZRANGEBYSCORE', due, '-inf', text(now), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do
  local entry = redis.call('HGET', queue, id)
  if entry then
    redis.call('ZADD', due, text(now + tonumber(ARGV[3])), id)
    reply[#reply + 1] = id
    reply[#reply + 1] = entry
  else
    redis.call('ZREM', due, id)
  end
end
return reply
