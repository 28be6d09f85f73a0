-- stats_event.lua: count an event's metrics once, in its day and in its minute.
-- KEYS[1] day         hash of a campaign's UTC day: metric -> whole number
-- KEYS[2] hour        hash of one hour, for live charts: "minute metric" -> number
-- KEYS[3] reach       HyperLogLog of the users that this day reached
-- KEYS[4+] seen       the event's own key, if it has an id: a duplicate finds it
-- ARGV[1] day_ms      how long the day's numbers shall live from now
-- ARGV[2] hour_ms     how long the hour's; 0 or less: no minute is counted
-- ARGV[3] seen_ms     how long a duplicate is recognised
-- ARGV[4] minute      00 to 59
-- ARGV[5] user        whom the event reached, '' = nobody to count
-- ARGV[6+] metrics    per metric: its field, and what to add
-- returns counted, duplicate, too_old (nothing written) or overflow (undone)
-- Why a script: of two deliveries of one event, both would find it not yet
-- counted; and a crash between two metrics would leave a click without its cost.
local day, hour, reach = KEYS[1], KEYS[2], KEYS[3]
local seen = #KEYS > 3 and KEYS[#KEYS]
local LARGEST = 9007199254740991 -- 2^53 - 1: exact in every reader's numbers
if tonumber(ARGV[1]) <= 0 then return 'too_old' end
if seen and not redis.call('SET', seen, '1', 'NX', 'PX', ARGV[3]) then
  redis.call('PEXPIRE', seen, ARGV[3]) -- who repeats it may do so again
  return 'duplicate'
end

-- Fixed at the first write: later events never make the numbers live longer.
local function live(key, ms)
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ms) end
end

local function undo(last)
  for i = 6, last, 2 do
    redis.call('HINCRBY', day, ARGV[i], string.format('%.0f', -ARGV[i + 1]))
  end
  if seen then redis.call('DEL', seen) end
end

for i = 6, #ARGV, 2 do
  local total = redis.call('HINCRBY', day, ARGV[i], ARGV[i + 1])
  if math.abs(total) > LARGEST then
    undo(i)
    return 'overflow'
  end
end
live(day, ARGV[1])

if tonumber(ARGV[2]) > 0 then
  for i = 6, #ARGV, 2 do -- pcall: a chart must not stop the count
    redis.pcall('HINCRBY', hour, ARGV[4] .. ' ' .. ARGV[i], ARGV[i + 1])
  end
  live(hour, ARGV[2])
end
if ARGV[5] ~= '' then
  redis.call('PFADD', reach, ARGV[5])
  live(reach, ARGV[1])
end
return 'counted'
