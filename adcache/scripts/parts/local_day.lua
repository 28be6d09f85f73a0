-- An advertiser's days, and what a curve allows: twins of adcache/budget_days.py.
-- Whole numbers below 2^53 throughout.
local DAY = 86400000

-- Quotient and remainder; for whole numbers below 2^53 doubles round no quotient up.
local function divide(a, b)
  local whole = math.floor(a / b)
  return whole, a - whole * b
end

-- The n-th part in d of an amount, rounded down; 0 <= n <= d.
local function part_of(amount, n, d)
  local whole, rest = divide(amount, d)
  return whole * n + math.floor(rest * n / d)
end

-- All numbers of a line, in order.
local function numbers_of(line)
  local found = {}
  for number in line:gmatch('%-?%d+') do found[#found + 1] = tonumber(number) end
  return found
end

-- UTC offset at a moment; offsets: from_ms, offset_ms, from_ms, offset_ms ...
local function offset_at(offsets, ms)
  local found = offsets[2] or 0
  for i = 3, #offsets, 2 do
    if offsets[i] > ms then break end
    found = offsets[i + 1]
  end
  return found
end

local function day_at(offsets, ms) return math.floor((ms + offset_at(offsets, ms)) / DAY) end

-- The moment at which a local day begins, also where clocks leap at midnight.
local function day_start(offsets, day)
  local guess = day * DAY - offset_at(offsets, day * DAY)
  local start = day * DAY - offset_at(offsets, guess)
  return day_at(offsets, start) < day and guess or start
end

-- Millionths of the day's money allowed after elapsed of length ms.
local function share_at(points, elapsed, length)
  elapsed = math.max(0, math.min(elapsed, length))
  local hour, rest = divide(elapsed * 24, length)
  if hour >= 24 then return points[25] end
  local from, to = points[hour + 1], points[hour + 2]
  return from + math.floor((to - from) * rest / length)
end

-- Micros that may be spent or reserved on `day` until `ms`; daily: its money.
local function day_allowance(campaign, daily, day, ms)
  if campaign.kind ~= 'even' and campaign.kind ~= 'front_loaded' then return daily end
  local points = numbers_of(campaign.curve)
  local begin = day_start(campaign.offsets, day)
  local length = day_start(campaign.offsets, day + 1) - begin
  local first = share_at(points, campaign.start_ms - begin, length)
  local last = share_at(points, campaign.end_ms + 1 - begin, length)
  local here = share_at(points, ms - begin, length)
  if last <= first then return daily end
  return part_of(daily, math.max(first, math.min(here, last)) - first, last - first)
end

-- Money of a day without a daily budget: its share of the flight's remaining time.
local function day_budget(campaign, left, day)
  left = math.max(0, left)
  local begin = math.max(day_start(campaign.offsets, day), campaign.start_ms)
  local finish = campaign.end_ms + 1
  local today = math.ceil((math.min(day_start(campaign.offsets, day + 1), finish) - begin) / 1000)
  local rest = math.min(math.ceil((finish - begin) / 1000), 10000000000)
  return today >= rest and left or part_of(left, math.max(0, today), rest)
end
