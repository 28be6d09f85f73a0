-- The usual case, decided before the tools of all others are made: no impression id,
-- one cap a campaign, each with an open window and no leases. Two commands for all.
local function usual(now, counting)
  local names, reply, writes = { '~end' }, {}, {}
  for at = 3, #ARGV, 4 do
    if ARGV[at] ~= '1' or ARGV[at + 2] == '0' then return nil end
    names[#names + 1] = ARGV[at + 1]
    names[#names + 1] = ARGV[at + 1]:match('[^:]+') .. '~leases'
  end
  local row = redis.call('HMGET', KEYS[1], unpack(names))
  if row[1] and ARGV[1] == '' then return nil end
  for i = 2, #names, 2 do
    local state, at = row[i], 2 * i - 4
    local ends = state and tonumber(state:sub(-15)) or 0
    if ends <= now or row[i + 1] then return nil end
    local count, allowed = tonumber(state:sub(1, -16)), 0
    if count < tonumber(ARGV[2 * i + 1]) then
      count, allowed = count + counting, 1
      writes[#writes + 1], writes[#writes + 2] = names[i], count .. state:sub(-15)
    end
    reply[at + 1], reply[at + 2], reply[at + 3] = allowed, 1, count
    reply[at + 4] = allowed == 1 and 0 or ends - now
  end
  if counting == 1 and #writes > 0 then redis.call('HSET', KEYS[1], unpack(writes)) end
  return reply
end

if ARGV[2] ~= '2' and #ARGV < 2000 then -- Lua cannot unpack thousands
  local now = clock(ARGV[1])
  local reply = now and usual(now, tonumber(ARGV[2]))
  if reply then return reply end
end
