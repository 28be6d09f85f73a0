-- campaign_active.lua: may a campaign run now, and if not, why.
-- KEYS[1] campaign    hash of one campaign (campaign:{campaign_id})
-- KEYS[2] spend       hash of what it has spent (spend:{campaign_id})
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns {reason, bid in micros CPM}: 'active', or 'unknown', 'not_active',
--   'not_started', 'ended', 'over_budget', 'over_daily'
-- Why a script: status, flight and money are judged at one moment, the server's.
-- include clock.lua
local campaign, spend, now = KEYS[1], KEYS[2], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local row = redis.call('HMGET', campaign, 'expires_ms', 'status', 'start_ms', 'end_ms',
  'bid', 'budget', 'daily', 'offsets')
local money = redis.call('HMGET', spend, 'spent', 'day', 'day_spent')

local function reason()
  if not row[1] or now >= tonumber(row[1]) then return 'unknown' end
  if row[2] ~= 'active' then return 'not_active' end
  if now < tonumber(row[3]) then return 'not_started' end
  if now > tonumber(row[4]) then return 'ended' end
  if tonumber(money[1] or 0) >= tonumber(row[6]) then return 'over_budget' end
  return 'active'
end

return { reason(), row[5] or '0' }
