-- The token after `last`. It follows the clock (in microseconds), so that a lost
-- counter does not start again with numbers that somebody still holds; and it
-- grows also when the clock is set back.
local function token_after(last, now)
  return math.max((tonumber(last) or 0) + 1, now * 1000)
end
