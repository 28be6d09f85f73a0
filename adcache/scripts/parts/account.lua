-- What a campaign may spend and has spent, read once, changed here, saved once.
-- Every budget script has campaign, spend and leases as its first three keys.
-- An open reservation may be billed today, whenever it was made: so all of
-- `reserved` counts against today, and a new day resets only day_spent.
local BATCH = 50

-- nil when the record is gone; `over` when it has outlived its ttl, which is as good.
local function read_campaign(now)
  local row = redis.call('HMGET', KEYS[1], 'status', 'start_ms', 'end_ms', 'bid', 'budget',
    'daily', 'offsets', 'curve', 'expires_ms')
  if not row[1] then return nil end
  local curve = row[8] or 'asap'
  return { status = row[1], start_ms = tonumber(row[2]), end_ms = tonumber(row[3]),
    bid = tonumber(row[4]), budget = tonumber(row[5]), daily = tonumber(row[6] or ''),
    offsets = numbers_of(row[7] or ''), curve = curve, kind = curve:match('^%S+'),
    over = row[9] and now >= tonumber(row[9]) }
end

-- A token bucket fills at the rate of the day's money; "tokens ms remainder".
local function fill_bucket(account, campaign, bucket, now)
  local burst = tonumber(campaign.curve:match('%d+'))
  account.size = math.max(part_of(account.daily, burst, 1000000), math.ceil(campaign.bid / 1000))
  local tokens, since, rest = (bucket or ''):match('^(%S+) (%S+) (%S+)$')
  account.tokens, account.since = tonumber(tokens or account.size), tonumber(since or now)
  local elapsed = math.max(0, math.min(now - account.since, DAY))
  local a_ms, odd = divide(account.daily, DAY)
  local gained, left = divide(elapsed * odd + tonumber(rest or 0), DAY)
  account.tokens = account.tokens + elapsed * a_ms + gained
  account.rest, account.since = left, math.max(account.since, now)
  if account.tokens >= account.size then account.tokens, account.rest = account.size, 0 end
end

-- nil when there is none: it was never set, or Redis lost it.
local function open_account(campaign, now)
  local row = redis.call('HMGET', KEYS[2], 'spent', 'reserved', 'carry', 'day', 'day_spent',
    'bucket', 'until_ms', 'budget')
  if not row[1] then return nil end
  local account = { spent = tonumber(row[1]), reserved = tonumber(row[2] or 0),
    carry = tonumber(row[3] or 0), day = tonumber(row[4] or 0),
    day_spent = tonumber(row[5] or 0), until_ms = tonumber(row[7] or 0),
    budget = campaign and campaign.budget or tonumber(row[8] or 0) }
  if not row[2] then -- a new account: what leases there are tell what is reserved
    for _, member in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
      account.reserved = account.reserved + tonumber(member:match('^%d+'))
    end
  end
  if not campaign then return account end
  local today = day_at(campaign.offsets, now)
  if today > account.day then account.day, account.day_spent = today, 0 end
  account.daily = campaign.daily
  if not campaign.daily and campaign.kind ~= 'asap' then
    local left = campaign.budget - (account.spent - account.day_spent)
    account.daily = day_budget(campaign, left, account.day)
  end
  if campaign.kind == 'token_bucket' then fill_bucket(account, campaign, row[6], now) end
  return account
end

-- A reserved amount is free again.
local function give_back(account, amount)
  account.reserved = account.reserved - amount
  if account.tokens then account.tokens = math.min(account.size, account.tokens + amount) end
end

local function spend(account, cost)
  account.spent, account.day_spent = account.spent + cost, account.day_spent + cost
  if account.tokens then account.tokens = account.tokens - cost end
end
