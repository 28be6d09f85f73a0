-- record_fill.lua: keep a copy of what was loaded, unless it was written since.
-- KEYS[1] record      string: "fresh_until_ms load_ms version JSON"
-- KEYS[2] lease       hash as in record_claim.lua
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] token       what record_claim.lua gave
-- ARGV[3] ttl_ms      how long the copy lives
-- ARGV[4] body        JSON
-- returns 1 if the copy is kept, else 0
-- Why a script: a write between looking at the token and keeping the copy would be
-- followed by the older value, for a whole ttl.
-- include clock.lua
local record, lease, now = KEYS[1], KEYS[2], clock(ARGV[1])
if redis.call('HGET', lease, 'right') ~= ARGV[2] then return 0 end
local fresh_until = now and text(now + tonumber(ARGV[3])) or '0'
redis.call('SET', record, fresh_until .. ' 0 0 ' .. ARGV[4], 'PX', ARGV[3])
return 1
