-- budget_release.lua: a bid has lost; give its amount back, once.
-- KEYS[1] campaign     hash: what the campaign may spend (campaign:{id}); only read
-- KEYS[2] spend        hash: what it has spent (spend:{id})
-- KEYS[3] leases       zset: open reservations (reserved:{id}), scored by lease end
-- KEYS[4] ledger       string: what became of this one (ledger:{id}:{reservation})
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] reservation  its encoded id
-- ARGV[3] horizon_ms   how long later notices about it are understood
-- returns state after it, amount, ms when its lease would have ended, note
--   state: released (also the second time), settled (billed: nothing to give
--   back) or unknown (no such reservation)
-- Why a script: two losses of one bid would both find it reserved.
-- include clock.lua
-- include local_day.lua
-- include account.lua
-- include account_save.lua
-- include ledger.lua
local now, horizon = clock(ARGV[1]), tonumber(ARGV[3])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local entry = read_entry(ARGV[2], now)
if not entry or entry.state == 'charged' then return { 'unknown', 0, 0, '' } end

if entry.state ~= 'settled' and entry.state ~= 'released' then
  local campaign = read_campaign(now)
  local account = open_account(campaign, now)
  local reserved = redis.call('ZREM', KEYS[3], entry.member) == 1
  if account then
    if reserved then give_back(account, entry.amount) end
    sweep(account, now)
    save(account, now, math.max(now, campaign and campaign.end_ms or 0), horizon)
  end
  entry.state = 'released'
  write_entry(entry, now, horizon)
end
return { entry.state, text(entry.amount), text(entry.lease), entry.note }
