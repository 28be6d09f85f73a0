-- frequency_cap.lua: count one impression if one fixed window has room.
-- The window opens at the first impression and ends window_ms later, whatever
-- happens in between. At most 2 * limit - 1 impressions can fall into one
-- window's length: one early, limit - 1 just before the end, limit after it.
-- KEYS[1] windows     hash of one user: "campaign:window_ms" -> "expiry_ms count",
--                     "campaign~leases" -> places taken at a bid, as in leases.lua
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] field       "campaign:window_ms"
-- ARGV[3] limit       impressions in a window
-- ARGV[4] window_ms   its length
-- returns allowed (1 or 0), count after it, ms until there is room again
-- Why a script: between reading the count and raising it, another server's ad for
-- the same user could be counted, and both would be shown.
-- include clock.lua
-- include hash_clock.lua
-- include upkeep.lua
-- include leases.lua
local windows, field = KEYS[1], ARGV[2]
local limit, window = tonumber(ARGV[3]), tonumber(ARGV[4])
local now = clock(ARGV[1])
local row = redis.call('HMGET', windows, field, '~end', field:match('[^:]+') .. '~leases')
local state, timeless = row[1], not now or ARGV[1] == '' and row[2]
if timeless then now = clock_of(windows) end

local expiry, count = 0, 0
if state then
  local space = state:find(' ', 1, true)
  expiry, count = tonumber(state:sub(1, space - 1)), tonumber(state:sub(space + 1))
end
local opens = expiry <= now
if opens then expiry, count = now + window, 0 end
local open = leases_of(row[3], now)
if count + #open >= limit then
  return { 0, count + #open, room_at(open, count, limit, expiry) - now }
end

local created = redis.call('HSET', windows, field, text(expiry) .. ' ' .. count + 1)
if opens then keep(windows, window, now, timeless) end
if created == 1 then sweep(windows, now) end
return { 1, count + 1 + #open, expiry - now }
