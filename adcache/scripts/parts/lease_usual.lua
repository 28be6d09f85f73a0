-- The usual case, decided before the tools of all others are made: a new lease of one
-- campaign, of which this user has no other, with room in all windows.
local function usual(now, campaign, size)
  if not now or redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return nil end
  local names = { '~end', campaign .. '~leases' }
  for i = 1, size do
    names[i + 2] = campaign .. ':' .. string.format('%.14g', ARGV[2 * i + 7] / 1000)
  end
  local row = redis.call('HMGET', KEYS[1], unpack(names))
  if row[1] or row[2] then return nil end
  local index, worst, least = 1, 0, math.huge
  for i = 1, size do
    local state, count = row[i + 2], 0
    if state and tonumber(state:sub(-15)) > now then count = tonumber(state:sub(1, -16)) end
    local room = ARGV[2 * i + 6] - count
    if room < least then index, worst, least = i, count, room end
  end
  if least < 1 then return nil end
  return { 1, index, worst + 1, 0, 'free' }
end

local campaigns, campaign, caps = unpack(ARGV, 5, 7)
if campaigns == '1' and caps ~= '0' and #ARGV == 7 + 2 * caps then
  local now, ttl = clock(ARGV[1]), tonumber(ARGV[3])
  local reply = usual(now, campaign, tonumber(caps))
  if reply and redis.call('HLEN', KEYS[1]) < 63 then -- else it may have to be swept
    redis.call('HSET', KEYS[1], campaign .. '~leases', text(now + ttl) .. ' ' .. ARGV[2])
    if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ttl) end
    redis.call('HSET', KEYS[2], campaign, 'open ' .. table.concat(ARGV, ' ', 7))
    redis.call('PEXPIRE', KEYS[2], text(ttl + ARGV[4]))
    return reply
  end
end
