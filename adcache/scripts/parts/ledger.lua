-- What became of one reservation: "state amount lease_ms cost over late note".
-- The fourth key is its ledger entry; states: held, kept, settled, released. A lease
-- that has ended leaves it as it was: `open` tells whether the amount is reserved.
local function read_entry(reservation, now)
  local line = redis.call('GET', KEYS[4])
  if not line then return nil end
  local state, amount, lease, cost, over, late, note =
    line:match('^(%a+) (%d+) (%d+) (%d+) (%d+) (%d) (.*)$')
  local entry = { state = state, amount = tonumber(amount), lease = tonumber(lease),
    cost = tonumber(cost), over = tonumber(over), late = tonumber(late), note = note,
    member = amount .. ':' .. reservation }
  local waiting = state == 'held' or state == 'kept'
  entry.open = waiting and now < entry.lease and redis.call('ZSCORE', KEYS[3], entry.member)
  if waiting and not entry.open then entry.state = 'expired' end
  return entry
end

-- How long it is remembered: notices may come until horizon ms after the lease.
local function life_of(entry, now, horizon)
  return text(math.max(0, entry.lease - now) + horizon)
end

local function write_entry(entry, now, horizon)
  local line = string.format('%s %.0f %.0f %.0f %.0f %.0f ', entry.state, entry.amount,
    entry.lease, entry.cost, entry.over, entry.late)
  redis.call('SET', KEYS[4], line .. entry.note, 'PX', life_of(entry, now, horizon))
end
