-- budget_charge.lua: charge a campaign for a cost, if its budget has room.
-- KEYS[1] campaign    hash: what the campaign may spend (campaign:{id}); only read
-- KEYS[2] spend       hash: what it has spent (spend:{id})
-- KEYS[3] leases      zset: open reservations (reserved:{id})
-- KEYS[4+] ledger     ledger:{id}:{operation}, or none: then a retry charges twice
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] amount      micros
-- ARGV[3] horizon_ms  how long the operation is remembered, and the account kept
--                     after the flight: the notice horizon
-- returns verdict, micros spent in all, micros of the budget that are left
--   verdict: charged (also for a retry of the same operation), budget (no room),
--   unknown (no such campaign), lost (its spend hash is gone: it fails closed)
--   or taken (the operation's id is that of a reservation)
-- Only the whole budget decides: status, dates and pacing hold for reservations,
-- a cost has happened. It counts against today's budget all the same.
-- Why a script: of two callers that both find room for their cost, one must wait.
-- include clock.lua
-- include local_day.lua
-- include account.lua
-- include account_save.lua
-- include ledger.lua
local now, amount, horizon = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local campaign = read_campaign(now)
local account = open_account(campaign, now)
local function answer(verdict)
  if not account then return { verdict, 0, 0 } end
  local left = math.max(0, account.budget - account.spent - account.reserved)
  return { verdict, text(account.spent), text(left) }
end

local known = KEYS[4] and read_entry('', now)
if known then return answer(known.state == 'charged' and 'charged' or 'taken') end
if not campaign or campaign.over then return answer('unknown') end
if not account then return answer('lost') end

local more = sweep(account, now)
while more and campaign.budget - account.spent - account.reserved < amount do
  more = sweep(account, now)
end
local fits = campaign.budget - account.spent - account.reserved >= amount
if fits then spend(account, amount) end
if fits or account.swept then save(account, now, math.max(now, campaign.end_ms), horizon) end
if fits and KEYS[4] then
  write_entry({ state = 'charged', amount = amount, lease = now, cost = amount, over = 0,
    late = 0, note = '' }, now, horizon)
end
return answer(fits and 'charged' or 'budget')
