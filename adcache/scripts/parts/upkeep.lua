-- The hash must live `ms` longer; it never dies earlier than it would have.
-- `timeless`: "~end" is to be written for clock_of.
local function keep(hash, ms, now, timeless)
  if redis.call('PTTL', hash) < ms then redis.call('PEXPIRE', hash, ms) end
  if timeless then redis.call('HSET', hash, '~end', text(now + redis.call('PTTL', hash))) end
end

-- Each field starts with the time from which it means nothing, but for fixed windows,
-- which end with it. Whenever 16 more have come, fields that are over go.
local function sweep(hash, now)
  local size = redis.call('HLEN', hash)
  if size < 64 or size % 16 ~= 0 then return end
  local all = redis.call('HGETALL', hash)
  for i = 1, #all, 2 do
    local state = all[i + 1]
    local gone = state:match('^(%d+) ') or #state > 15 and state:sub(-15)
    if gone and tonumber(gone) <= now then redis.call('HDEL', hash, all[i]) end
  end
end
