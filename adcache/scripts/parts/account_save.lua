-- Take back amounts whose lease has ended, a batch of them; true: there may be more.
local function sweep(account, now)
  local ended = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', text(now), 'LIMIT', 0, BATCH)
  if #ended == 0 then return false end
  for _, member in ipairs(ended) do give_back(account, tonumber(member:match('^%d+'))) end
  redis.call('ZREM', KEYS[3], unpack(ended))
  account.swept = true
  return #ended == BATCH
end

-- By how much all that is spent or promised exceeds the budget.
local function overrun(account)
  return math.max(0, account.spent + account.reserved - account.budget)
end

-- Write the account. It lives until the flight and the last lease have ended
-- (last_ms) and no notice can come any more: horizon ms later.
local function save(account, now, last_ms, horizon)
  redis.call('HSET', KEYS[2], 'spent', text(account.spent), 'reserved', text(account.reserved),
    'overrun', text(overrun(account)), 'carry', text(account.carry), 'day', text(account.day),
    'day_spent', text(account.day_spent), 'budget', text(account.budget))
  if account.tokens then
    redis.call('HSET', KEYS[2], 'bucket', text(account.tokens) .. ' ' .. text(account.since)
      .. ' ' .. text(account.rest))
  end
  if last_ms + horizon > account.until_ms then
    account.until_ms = last_ms + horizon
    redis.call('HSET', KEYS[2], 'until_ms', text(account.until_ms))
    for _, key in ipairs({ KEYS[2], KEYS[3] }) do
      local life = account.until_ms - now
      if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, text(life)) end
    end
  end
end
