-- budget_status.lua: say what a campaign has spent and may still spend.
-- KEYS[1] campaign     hash: what the campaign may spend (campaign:{id}); only read
-- KEYS[2] spend        hash: what it has spent (spend:{id})
-- KEYS[3] leases       zset: open reservations (reserved:{id}), scored by lease end
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] horizon_ms   how long after the flight the account is kept
-- returns {} when the campaign or its account is unknown, else in micros: spent,
--   reserved, overrun, spent today, what may be spent or reserved today until now
--   ('' = no limit but the budget), what a reservation could hold now
-- Why a script: amounts whose lease has ended come back before they are counted.
-- include clock.lua
-- include local_day.lua
-- include account.lua
-- include account_save.lua
local now, horizon = clock(ARGV[1]), tonumber(ARGV[2])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local campaign = read_campaign(now)
local account = campaign and not campaign.over and open_account(campaign, now)
if not account then return {} end

local more = true
while more do more = sweep(account, now) end
if account.swept then save(account, now, math.max(now, campaign.end_ms), horizon) end
local allowed = account.daily and day_allowance(campaign, account.daily, account.day, now)
local room = account.budget - account.spent - account.reserved
if allowed then room = math.min(room, allowed - account.day_spent - account.reserved) end
if account.tokens then room = math.min(room, account.tokens) end
return { text(account.spent), text(account.reserved), text(overrun(account)),
  text(account.day_spent), allowed and text(allowed) or '', text(math.max(0, room)) }
