-- The time in microseconds: the caller's clock counts milliseconds, the server's
-- microseconds; nil where this Redis user may not ask for TIME.
local function clock_us(now_ms)
  if now_ms ~= '' then return now_ms * 1000 end
  local time = redis.pcall('TIME')
  return not time.err and time[1] * 1000000 + time[2] or nil
end
