-- Fills in cap.count, and cap.wait: ms until there is room, 0 when there is. An
-- open lease takes a place in each window of its campaign (cap.held of cap.open).
local function look(cap)
  local leases = cap.field:match('[^:]+') .. '~leases'
  local row = redis.call('HMGET', windows, cap.field, leases)
  local state = row[1]
  if state and ends_of(state) > now then
    cap.expiry, cap.count = ends_of(state), count_of(state)
  end
  local open = leases_of(row[2], now)
  cap.open, cap.held = open, #open
  if cap.count + #open >= cap.limit then
    cap.wait = room_at(open, cap.count, cap.limit, cap.expiry or now + 1) - now
  end
end

-- Raises the count; returns how many ms the hash must live (0 for an open window: it
-- lives long enough), and 1 for a new field.
local function count(cap)
  local life = cap.expiry and 0 or cap.window
  cap.expiry = cap.expiry or now + cap.window
  cap.count, cap.mark = cap.count + 1, text(cap.expiry)
  local state = state_of(cap.expiry, cap.count)
  return life, redis.call('HSET', windows, cap.field, state)
end
