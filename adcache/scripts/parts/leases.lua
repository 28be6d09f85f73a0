-- Open leases of a campaign: places taken at the bid, for impressions that may come.
-- One field holds them, "expiry_ms lease ...", the last to end in front.
local function leases_of(state, now)
  local open = {}
  if not state then return open end
  for expiry, id in state:gmatch('(%d+) (%S+)') do
    if tonumber(expiry) > now then open[#open + 1] = { ends = tonumber(expiry), id = id } end
  end
  return open
end

-- When a window with `count` impressions until `expiry` has room beside them.
local function room_at(open, count, limit, expiry)
  local function fewer_than(n) return open[n] and open[n].ends or 0 end
  local over = math.max(expiry, fewer_than(limit))
  return count < limit and math.min(over, fewer_than(limit - count)) or over
end
