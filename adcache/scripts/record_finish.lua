-- record_finish.lua: after a write, keep the new copy or drop what there is.
-- KEYS[1] record      string: "fresh_until_ms load_ms version JSON"
-- KEYS[2] lease       hash as in record_claim.lua
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] writer      field of this writer, "w:id"
-- ARGV[3] ttl_ms      how long the copy lives
-- ARGV[4] body        JSON to keep, '' to drop the copy
-- returns 1 if the new copy is kept, else 0
-- Why a script: a copy kept, or a write begun, between looking and writing would
-- be taken for the newest.
--
-- Of two writes at the same time nobody here knows which one the system of record
-- did last: then neither is kept, and the next reader asks.
-- include clock.lua
-- include writers.lua
local record, lease, writer, now = KEYS[1], KEYS[2], ARGV[2], clock(ARGV[1])
local others = others_write(lease, now, writer)
local alone = not others and redis.call('HGET', lease, 'right') == writer
if others then
  redis.call('HDEL', lease, writer)
  redis.call('HSET', lease, 'right', 'nobody')
else
  redis.call('DEL', lease)
end
if ARGV[4] == '' or not alone then
  redis.call('DEL', record)
  return 0
end
local fresh_until = now and text(now + tonumber(ARGV[3])) or '0'
redis.call('SET', record, fresh_until .. ' 0 0 ' .. ARGV[4], 'PX', ARGV[3])
return 1
