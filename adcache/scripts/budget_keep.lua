-- budget_keep.lua: a bid has won; hold its amount until it can have been billed.
-- KEYS[1] campaign     hash: what the campaign may spend (campaign:{id}); only read
-- KEYS[2] spend        hash: what it has spent (spend:{id})
-- KEYS[3] leases       zset: open reservations (reserved:{id}), scored by lease end
-- KEYS[4] ledger       string: what became of this one (ledger:{id}:{reservation})
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] reservation  its encoded id
-- ARGV[3] horizon_ms   how long a billing notice may take
-- returns state after it, amount, ms when the lease ends, note
--   state: kept, or what it was before: settled, released, expired, unknown
-- Why a script: a lease that ends between look and write would be prolonged
-- although its amount has been given to another bid.
-- include clock.lua
-- include local_day.lua
-- include account.lua
-- include account_save.lua
-- include ledger.lua
local now, horizon = clock(ARGV[1]), tonumber(ARGV[3])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local entry = read_entry(ARGV[2], now)
if not entry then return { 'unknown', 0, 0, '' } end

if entry.open and entry.state == 'held' then
  local campaign = read_campaign(now)
  local account = open_account(campaign, now)
  entry.state, entry.lease = 'kept', math.max(entry.lease, now + horizon)
  if account then
    sweep(account, now)
    save(account, now, math.max(entry.lease, campaign and campaign.end_ms or 0), horizon)
  end
  redis.call('ZADD', KEYS[3], text(entry.lease), entry.member)
  write_entry(entry, now, horizon)
end
return { entry.state, text(entry.amount), text(entry.lease), entry.note }
