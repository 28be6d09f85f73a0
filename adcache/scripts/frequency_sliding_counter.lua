-- frequency_sliding_counter.lua: count an impression if all its caps allow it.
-- Sliding counter: the count of this window plus the share of the previous one
-- that the last window_ms still cover. Two numbers a cap, and an estimate: it
-- takes the previous window's impressions as evenly spread. Source: Desgats, "How
-- we built rate limiting capable of scaling to millions of domains", Cloudflare 2017.
-- KEYS[1] windows     hash of one user: "campaign:window_ms:s" -> "gone_ms count previous"
-- KEYS[2+] records    per campaign: what this impression id was answered
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] mode        0 look only, 1 count, 2 count and remember the impression id
-- ARGV[3+] caps       per campaign: number of caps, then field, limit, window_ms
-- returns per campaign, flat: allowed, deciding cap, its count, ms to wait (-1 = ever)
-- Why a script: between reading the counts and raising one, another server's ad
-- for the same user could be counted, and both would be shown.
-- include clock.lua
-- include upkeep.lua
local windows, now, timeless = KEYS[1], clock(ARGV[1]), false
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end

local function record_of(campaign) return KEYS[1 + campaign] end

-- Fills in cap.count, and cap.wait: ms until there is room, 0 when there is.
local function look(cap)
  cap.ends, cap.current, cap.previous = now + cap.window, 0, 0
  local state = redis.call('HGET', windows, cap.field)
  if state then
    local gone, current, previous = state:match('^(%d+) (%d+) (%d+)$')
    local ends = tonumber(gone) - cap.window -- a window counts for one more
    if now < ends then
      cap.ends, cap.current, cap.previous = ends, tonumber(current), tonumber(previous)
    elseif now < ends + cap.window then
      cap.ends, cap.previous = ends + cap.window, tonumber(current)
    end
  end
  local left = math.min(cap.ends - now, cap.window)
  local estimate = cap.current + cap.previous * left / cap.window
  cap.count = math.ceil(estimate)
  if estimate + 1 <= cap.limit then return end
  local room = cap.limit - 1 - cap.current
  if room >= 0 then -- until enough of the previous window has slid out
    cap.wait = cap.ends - now - cap.window * room / cap.previous
  else -- until this window ends, and enough of it has slid out
    cap.wait = cap.ends - now + cap.window * (1 - (cap.limit - 1) / cap.current)
  end
end

-- Raises the count; returns how many ms the hash must live, and 1 for a new field.
local function count(cap)
  cap.count, cap.current, cap.mark = cap.count + 1, cap.current + 1, text(cap.ends)
  local gone = cap.ends + cap.window
  local state = text(gone) .. ' ' .. cap.current .. ' ' .. cap.previous
  return gone - now, redis.call('HSET', windows, cap.field, state)
end

-- include tightest.lua
-- include caps.lua
