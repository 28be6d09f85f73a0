-- The usual case, decided before the tools of all others are made: a campaign that may
-- spend its money as soon as it can, and has enough of it even if no lease has ended.
-- One ms in 16 goes the long way, which looks for leases that have: so they stay few.
local function usual()
  if now % 16 == 0 then return false end
  local row = redis.call('HMGET', KEYS[1], 'status', 'curve', 'daily', 'start_ms', 'end_ms',
    'bid', 'expires_ms', 'budget')
  if row[1] ~= 'active' or row[2] ~= 'asap' or row[3] ~= '' or now < tonumber(row[4])
    or now > tonumber(row[5]) or cpm > tonumber(row[6]) or now >= tonumber(row[7] or 0) then
    return false
  end
  local money = redis.call('HMGET', KEYS[2], 'spent', 'reserved', 'overrun', 'until_ms', 'budget')
  return money[2] and money[3] == '0' and money[5] == row[8]
    and money[1] + money[2] + amount <= tonumber(row[8])
    and math.max(now + lease, tonumber(row[5])) + horizon <= tonumber(money[4] or 0) and money
end

local money = usual()
if money then
  local ends = text(now + lease)
  local line = 'held ' .. ARGV[4] .. ' ' .. ends .. ' 0 0 0 ' .. ARGV[7]
  if redis.call('SET', KEYS[4], line, 'PX', text(lease + horizon), 'NX') then
    redis.call('HINCRBY', KEYS[2], 'reserved', ARGV[4])
    redis.call('ZADD', KEYS[3], ends, ARGV[4] .. ':' .. ARGV[2])
    if money[2] == '0' then redis.call('PEXPIRE', KEYS[3], text(money[4] - now)) end
    return { 'held', ARGV[4], ends }
  end
end
