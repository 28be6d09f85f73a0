-- The time in ms: the caller's if it brought one, else the server's, else nil
-- (where this Redis user may not ask for TIME).
local function clock(now_ms)
  if now_ms ~= '' then return tonumber(now_ms) end
  local time = redis.pcall('TIME')
  return not time.err and time[1] * 1000 + math.floor(time[2] / 1000) or nil
end

-- A whole number as text; '..' would write large ones as 1.8e+15.
local function text(number) return string.format('%.0f', number) end
