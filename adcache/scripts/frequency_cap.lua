-- frequency_cap.lua: count one impression if one fixed window has room.
-- The window opens at the first impression and ends window_ms later, whatever
-- happens in between. At most 2 * limit - 1 impressions can fall into one
-- window's length: one early, limit - 1 just before the end, limit after it.
-- KEYS[1] windows     hash of one user: "campaign:seconds" -> count and end of a window
--                     as in window_state.lua, "campaign~leases" -> as in leases.lua
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] field       "campaign:seconds"
-- ARGV[3] leases      "campaign~leases"
-- ARGV[4] limit       impressions in a window
-- ARGV[5] window_ms   its length
-- returns the count after it when allowed; else a list: count, ms until there is room
-- Why a script: between reading the count and raising it, another server's ad for
-- the same user could be counted, and both would be shown.
-- include clock.lua
-- include hash_clock.lua
-- include upkeep.lua
-- include leases.lua
-- include window_state.lua
local windows, field, limit = KEYS[1], ARGV[2], tonumber(ARGV[4])
local now = clock(ARGV[1])
local row = redis.call('HMGET', windows, field, '~end', ARGV[3])
local state, timeless = row[1], not now or ARGV[1] == '' and row[2]
if timeless then now = clock_of(windows) end

local ends, count = state and ends_of(state) or 0, 0
local opens = ends <= now
if not opens then count = count_of(state) end
if not (opens or row[3]) and count < limit then -- the usual case
  redis.call('HSET', windows, field, count + 1 .. state:sub(-15))
  return count + 1
end

local window = tonumber(ARGV[5])
if opens then ends = now + window end
local open = leases_of(row[3], now)
if count + #open >= limit then
  return { count + #open, room_at(open, count, limit, ends) - now }
end

local created = redis.call('HSET', windows, field, state_of(ends, count + 1))
if opens then keep(windows, window, now, timeless) end
if created == 1 then sweep(windows, now) end
return count + 1 + #open
