-- write_put.lua: queue a write, and show it to all readers at once.
-- KEYS[1] record      string: "fresh_until_ms load_ms version JSON"
-- KEYS[2] lease       hash as in record_claim.lua
-- KEYS[3] queue       hash of a kind: id -> "version attempts queued_ms JSON"
-- KEYS[4] order       zset: id by the time of its oldest write still in the queue
-- KEYS[5] due         zset: id by the time when a writer may take it
-- KEYS[6] versions    the last version given
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] id          the record's id, encoded
-- ARGV[3] ttl_ms      how long the copy lives
-- ARGV[4] body        JSON, '' to delete the record
-- returns the version
-- Why a script: killed between the queue and the copy, a caller would leave a copy
-- that is never stored, or a write that readers do not see.
--
-- A write of an id that waits replaces the older one. It keeps its turn: a failing
-- store is not asked more often because a record is written often.
-- include clock.lua
-- include tokens.lua
local record, lease, id, body = KEYS[1], KEYS[2], ARGV[2], ARGV[4]
local queue, order, due, now = KEYS[3], KEYS[4], KEYS[5], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local version = text(token_after(redis.call('GET', KEYS[6]), now))
local waiting = redis.call('HGET', queue, id) or ''
local attempts = waiting:match('^%d+ (%d+) ') or '0'

redis.call('SET', KEYS[6], version)
redis.call('HSET', queue, id, version .. ' ' .. attempts .. ' ' .. text(now) .. ' ' .. body)
redis.call('ZADD', order, 'NX', text(now), id)
redis.call('ZADD', due, 'NX', text(now), id)
redis.call('DEL', lease) -- whoever loads the record now must not keep a copy
if body == '' then
  redis.call('DEL', record)
else
  local head = text(now + tonumber(ARGV[3])) .. ' 0 ' .. version .. ' '
  redis.call('SET', record, head .. body, 'PX', ARGV[3])
end
return version
