-- record_claim.lua: get the right to keep a copy of what is loaded next.
-- KEYS[1] lease       hash: "right" -> who may keep a copy, "w:id" -> until_ms
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] token       proposed; all who load before the next write share one
-- ARGV[3] lease_ms    how long a load may take
-- returns the token, or '' while somebody writes the record: then keep no copy
-- Why a script: a write between looking for writers and claiming would not void
-- the claim.
-- include clock.lua
-- include writers.lua
local lease, token = KEYS[1], ARGV[2]
if others_write(lease, clock(ARGV[1]), '') then return '' end
local right = redis.call('HGET', lease, 'right')
if right and right:sub(1, 2) == 'r:' then
  token = right
else
  redis.call('HSET', lease, 'right', token)
end
redis.call('PEXPIRE', lease, ARGV[3])
return token
