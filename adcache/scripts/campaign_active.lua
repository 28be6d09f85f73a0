-- campaign_active.lua: may a campaign run now, and if not, why.
-- KEYS[1] campaign    hash of one campaign (campaign:{campaign_id})
-- KEYS[2] spend       hash of what it has spent (spend:{campaign_id})
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns {reason, bid in micros CPM}; the reason is active, or why not: unknown,
--   paused, inactive, not started, ended, lost (no counter), budget, daily budget
-- Why a script: status, flight and money are judged at one moment, the server's.
-- include clock.lua
-- include local_day.lua
local campaign, spend, now = KEYS[1], KEYS[2], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local row = redis.call('HMGET', campaign, 'expires_ms', 'status', 'start_ms', 'end_ms',
  'budget', 'daily', 'offsets', 'bid')
local money = redis.call('HMGET', spend, 'spent', 'day', 'day_spent')

local function reason()
  if not row[1] or now >= tonumber(row[1]) then return 'unknown' end
  if row[2] == 'paused' then return 'paused' end
  if row[2] ~= 'active' then return 'inactive' end
  if now < tonumber(row[3]) then return 'not started' end
  if now > tonumber(row[4]) then return 'ended' end
  if not money[1] then return 'lost' end
  if tonumber(money[1]) >= tonumber(row[5]) then return 'budget' end
  if row[6] == '' then return 'active' end
  local same_day = tonumber(money[2] or 0) == day_at(numbers_of(row[7]), now)
  local today = same_day and tonumber(money[3]) or 0
  return today >= tonumber(row[6]) and 'daily budget' or 'active'
end

return { reason(), row[8] or '0' }
