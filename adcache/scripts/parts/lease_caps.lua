-- The caps of a campaign, written as "number of caps, then limit and window_ms of
-- each" into `words` from `at` on.
local function read_caps(campaign, words, at)
  local caps, size = {}, tonumber(words[at] or 0)
  for i = 1, size do
    local limit, window = tonumber(words[at + 2 * i - 1]), tonumber(words[at + 2 * i])
    caps[i] = { index = i, count = 0, held = 0, wait = 0, limit = limit, window = window,
      field = campaign .. ':' .. string.format('%.14g', window / 1000) }
  end
  return caps
end
