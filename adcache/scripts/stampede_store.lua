-- stampede_store.lua: keep what was loaded, unless something newer is there.
-- KEYS[1] record      string: "fresh_until_ms load_ms token JSON"
-- KEYS[2] lease       hash as in stampede_lease.lua
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] token       what the lease gave
-- ARGV[3] fresh_ms    how long the copy is fresh
-- ARGV[4] keep_ms     how long Redis keeps it: fresh and stale time
-- ARGV[5] load_ms     how long the load took
-- ARGV[6] body        JSON, '' for "there is no such record"
-- returns kept (1 or 0), now, the copy that stands or ''
-- Why a script: between reading the newest token and writing, a newer loader
-- could write; its value would be overwritten with an older one.
--
-- A loader that is late may still keep its value if nothing newer is there. Without
-- the hash nobody knows whether there was, so then nothing is kept.
-- include clock.lua
local record, lease, token = KEYS[1], KEYS[2], tonumber(ARGV[2])
local now = clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local state = redis.call('HMGET', lease, 'token', 'floor')
local copy = redis.call('GET', record) or ''
local newest, floor = tonumber(state[1]), tonumber(state[2])
local stands = tonumber(copy:match('^%d+ %d+ (%d+) ')) or 0
if not newest or token <= floor or token <= stands then return { 0, now, copy } end

local head = text(now + tonumber(ARGV[3])) .. ' ' .. ARGV[5] .. ' ' .. ARGV[2] .. ' '
redis.call('SET', record, head .. ARGV[6], 'PX', ARGV[4])
if newest == token then redis.call('DEL', lease) end -- nobody newer is loading
return { 1, now, head .. ARGV[6] }
