-- budget_reserve.lua: set the price of one bid aside, if the campaign may bid now.
-- KEYS[1] campaign     hash: what the campaign may spend (campaign:{id}); only read
-- KEYS[2] spend        hash: what it has spent (spend:{id})
-- KEYS[3] leases       zset: open reservations (reserved:{id}), scored by lease end
-- KEYS[4] ledger       string: what became of this one (ledger:{id}:{reservation})
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] reservation  its encoded id
-- ARGV[3] cpm          the bid, micros CPM
-- ARGV[4] amount       what one impression costs at most, micros
-- ARGV[5] lease_ms     how long the amount is held
-- ARGV[6] horizon_ms   how long after that notices may come
-- ARGV[7] note         opaque text, given back with every notice
-- returns verdict, amount held, ms when the lease ends
--   verdict: held (also for a retry of the same id); unknown, paused, inactive,
--   not started, ended, above bid, lost (the spend hash is gone), budget, daily
--   budget, pacing; settled, released, expired (this id is over), charged
-- Why a script: two bidders that both find the last micros free would both bid.
-- include clock.lua
local now, cpm, amount = clock(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local lease, horizon = tonumber(ARGV[5]), tonumber(ARGV[6])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end

-- include reserve_usual.lua

-- include local_day.lua
-- include account.lua
-- include account_save.lua
-- include ledger.lua

local known = read_entry(ARGV[2], now)
if known then
  return { known.open and 'held' or known.state, text(known.amount), text(known.lease) }
end

local campaign = read_campaign(now)
local function unfit()
  if not campaign or campaign.over then return 'unknown' end
  if campaign.status ~= 'active' then
    return campaign.status == 'paused' and 'paused' or 'inactive'
  end
  if now < campaign.start_ms then return 'not started' end
  if now > campaign.end_ms then return 'ended' end
  return cpm > campaign.bid and 'above bid' or nil
end
local reason = unfit()
if reason then return { reason, 0, 0 } end
local account = open_account(campaign, now)
if not account then return { 'lost', 0, 0 } end

local allowed = account.daily and day_allowance(campaign, account.daily, account.day, now)
local function short()
  if campaign.budget - account.spent - account.reserved < amount then return 'budget' end
  local today = account.day_spent + account.reserved + amount
  if campaign.daily and today > campaign.daily then return 'daily budget' end
  local dry = account.tokens and account.tokens < amount
  return (dry or allowed and today > allowed) and 'pacing' or nil
end

-- Before a refusal every ended lease is looked at: its amount may be enough.
local more = sweep(account, now)
while more and short() do more = sweep(account, now) end
reason = short()
if not reason then
  account.reserved = account.reserved + amount
  if account.tokens then account.tokens = account.tokens - amount end
end
if not reason or account.swept then
  save(account, now, math.max(campaign.end_ms, now + lease), horizon)
end
if reason then return { reason, 0, 0 } end

local entry = { state = 'held', amount = amount, lease = now + lease, cost = 0, over = 0,
  late = 0, note = ARGV[7] }
redis.call('ZADD', KEYS[3], text(entry.lease), text(amount) .. ':' .. ARGV[2])
redis.call('PEXPIRE', KEYS[3], text(account.until_ms - now))
write_entry(entry, now, horizon)
return { 'held', text(amount), text(entry.lease) }
