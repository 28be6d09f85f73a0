-- The usual case, decided before the tools of all others are made: a campaign that may
-- spend its money as soon as it can, has enough of it, and no lease that has ended.
local function usual()
  local row = redis.call('HMGET', KEYS[1], 'status', 'curve', 'daily', 'start_ms', 'end_ms',
    'bid', 'expires_ms', 'budget')
  if row[1] ~= 'active' or row[2] ~= 'asap' or row[3] ~= '' or now < tonumber(row[4])
    or now > tonumber(row[5]) or cpm > tonumber(row[6]) or now >= tonumber(row[7] or 0) then
    return false
  end
  local money = redis.call('HMGET', KEYS[2], 'spent', 'reserved', 'overrun', 'until_ms', 'budget')
  if not money[2] or money[3] ~= '0' or money[5] ~= row[8]
    or money[1] + money[2] + amount > tonumber(row[8])
    or math.max(now + lease, tonumber(row[5])) + horizon > tonumber(money[4] or 0) then
    return false
  end
  return redis.call('EXISTS', KEYS[4]) == 0
    and #redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1) == 0
    and money[4] - now
end

local life = usual()
if life then
  local ends = text(now + lease)
  redis.call('HINCRBY', KEYS[2], 'reserved', ARGV[4])
  redis.call('ZADD', KEYS[3], ends, ARGV[4] .. ':' .. ARGV[2])
  redis.call('PEXPIRE', KEYS[3], text(life))
  local line = 'held ' .. ARGV[4] .. ' ' .. ends .. ' 0 0 0 ' .. ARGV[7]
  redis.call('SET', KEYS[4], line, 'PX', text(lease + horizon))
  return { 'held', ARGV[4], ends }
end
