-- Per campaign: a known impression is answered as before; else look at all its
-- caps, then count the impression in all of them or in none.
local counting, remembering = ARGV[2] ~= '0', ARGV[2] == '2'

local function decide(caps)
  local worst = tightest(caps)
  local allowed = worst.wait == 0
  if allowed and counting then count_in(caps) end
  return allowed, { allowed and 1 or 0, worst.index, worst.count + worst.held, whole(worst.wait) }
end

local reply, at, campaign = {}, 3, 0
while ARGV[at] do
  local caps, longest, answer, allowed = {}, 0, {}, nil
  campaign = campaign + 1
  for i = 1, tonumber(ARGV[at]) do
    local from = at + 3 * i - 2
    caps[i] = { index = i, campaign = campaign, count = 0, held = 0, wait = 0,
      field = ARGV[from], limit = tonumber(ARGV[from + 1]), window = tonumber(ARGV[from + 2]) }
    longest = math.max(longest, caps[i].window)
  end
  at = at + 1 + 3 * #caps

  local known = remembering and redis.call('GET', record_of(campaign))
  if known then
    for number in known:match('^[^|]*'):gmatch('%S+') do answer[#answer + 1] = tonumber(number) end
  else
    allowed, answer = decide(caps)
  end
  if remembering and not known then
    local line = table.concat(answer, ' ')
    for _, cap in ipairs(allowed and caps or {}) do
      line = line .. '|' .. cap.field .. ' ' .. cap.mark
    end
    -- A count is remembered as long as its windows, a refusal a minute at most.
    redis.call('SET', record_of(campaign), line, 'PX', allowed and longest or math.min(longest, 60000))
  end
  for i = 1, 4 do reply[#reply + 1] = answer[i] end
end
return reply
