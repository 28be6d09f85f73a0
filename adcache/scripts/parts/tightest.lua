-- Looks at all caps of a campaign; returns the one that blocks longest, or that has
-- the least room. Its wait is 0 when all of them have room.
local function tightest(caps)
  local worst = caps[1]
  for _, cap in ipairs(caps) do
    look(cap)
    if cap.limit == 0 then cap.wait = math.huge end
    local tighter = cap.limit - cap.count < worst.limit - worst.count
    if cap.wait > worst.wait or cap.wait == worst.wait and tighter then worst = cap end
  end
  return worst
end

-- Counts one impression in each of them.
local function count_in(caps)
  for _, cap in ipairs(caps) do
    local life, grown = count(cap)
    if life > 0 then keep(windows, life, now, timeless) end
    if grown == 1 then sweep(windows, now) end
  end
end

-- A wait as a script may return it: whole ms, -1 for ever.
local function whole(wait) return wait == math.huge and -1 or math.ceil(wait) end
