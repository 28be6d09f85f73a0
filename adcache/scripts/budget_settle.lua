-- budget_settle.lua: an impression is billed; count its cost, once.
-- KEYS[1] campaign     hash: what the campaign may spend (campaign:{id}); only read
-- KEYS[2] spend        hash: what it has spent (spend:{id})
-- KEYS[3] leases       zset: open reservations (reserved:{id}), scored by lease end
-- KEYS[4] ledger       string: what became of this one (ledger:{id}:{reservation})
-- ARGV[1] now_ms       time in ms, or '' for the server's
-- ARGV[2] reservation  its encoded id
-- ARGV[3] cpm          the clearing price, micros CPM
-- ARGV[4] horizon_ms   how long duplicates of the notice are recognised
-- returns verdict, cost, part of it beyond the budget (micros), 1 if the amount was
--   no longer reserved, note
--   verdict: settled, duplicate (with the first result), unknown (no such
--   reservation), lost (the spend hash is gone: nothing is counted, try again)
-- A cost is real: it is counted however late it comes and whatever the budget.
-- A thousandth of a CPM leaves 0-999 thousandths of a micro, carried to the next.
-- Why a script: of two notices that both find it unbilled, one must not count.
-- include clock.lua
-- include local_day.lua
-- include account.lua
-- include account_save.lua
-- include ledger.lua
local now, cpm, horizon = clock(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local entry = read_entry(ARGV[2], now)
if not entry or entry.state == 'charged' then return { 'unknown', 0, 0, 0, '' } end
local function answer(verdict)
  return { verdict, text(entry.cost), text(entry.over), entry.late, entry.note }
end
if entry.state == 'settled' then
  -- A write, so that who waits for replicas waits for the first one's too.
  redis.call('PEXPIRE', KEYS[4], life_of(entry, now, horizon))
  return answer('duplicate')
end

local campaign = read_campaign(now)
local account = open_account(campaign, now)
if not account then return answer('lost') end
local cost, carry = divide(cpm + account.carry, 1000)
if account.spent + cost > 9007199254740991 then
  return redis.error_reply('TOOMUCH the spend of this campaign would pass 2^53 micros')
end
-- Also a lease that has ended may still stand in the zset; it is removed once.
entry.late = entry.open and 0 or 1
if redis.call('ZREM', KEYS[3], entry.member) == 1 then give_back(account, entry.amount) end
sweep(account, now)
account.carry = carry
spend(account, cost)
entry.state, entry.cost, entry.over = 'settled', cost, math.min(cost, overrun(account))
save(account, now, math.max(now, campaign and campaign.end_ms or 0), horizon)
write_entry(entry, now, horizon)
return answer('settled')
