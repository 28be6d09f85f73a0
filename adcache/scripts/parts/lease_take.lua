-- `one` is a candidate: a campaign, and its caps once they are looked at.
local function caps_of(one)
  one.caps = one.caps or read_caps(one.campaign, ARGV, one.caps_at)
  return one.caps
end

-- What this lease id holds of it from an earlier call, also when its impression has
-- been counted since.
local function holds(one)
  if not again or #caps_of(one) == 0 then return false end
  one.worst = tightest(one.caps)
  one.state = (redis.call('HGET', record, one.campaign) or ''):match('%a*')
  for _, each in ipairs(open_leases(one.campaign)) do
    if each.id == lease then return true end
  end
  return one.state == 'counted'
end

-- Takes a place in each window of the campaign, if all of them have one.
local function take(one)
  if #caps_of(one) == 0 then return true end -- no cap: nothing to hold
  one.worst = tightest(one.caps)
  one.why = one.state == 'released' and 'released' or 'capped'
  local open, words = one.worst.open, { 'open', #one.caps }
  if open[MOST] then one.worst.wait = math.max(one.worst.wait, open[#open].ends - now) end
  if one.why == 'released' or one.worst.wait > 0 then return false end
  local place = 1
  while open[place] and open[place].ends > now + ttl do place = place + 1 end
  table.insert(open, place, { ends = now + ttl, id = lease })
  write_leases(one.campaign, open)
  keep(windows, ttl, now, timeless)
  if #open == 1 then sweep(windows, now) end
  for i, cap in ipairs(one.caps) do
    words[2 * i + 1], words[2 * i + 2] = text(cap.limit), text(cap.window)
  end
  redis.call('HSET', record, one.campaign, table.concat(words, ' '))
  local life = ttl + tonumber(ARGV[4])
  if again then keep(record, life, now, false) else redis.call('PEXPIRE', record, life) end
  one.worst.held = one.worst.held + 1
  return true
end
