-- frequency_fixed.lua: count an impression if all caps of its campaign allow it.
-- The general form of frequency_cap.lua: several caps, several campaigns, and
-- impression ids.
-- KEYS[1] windows     hash of one user: "campaign:window_ms" -> "expiry_ms count"
-- KEYS[2+] records    per campaign: what this impression id was answered
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] mode        0 look only, 1 count, 2 count and remember the impression id
-- ARGV[3+] caps       per campaign: number of caps, then field, limit, window_ms
-- returns per campaign, flat: allowed, deciding cap, its count, ms to wait (-1 = ever)
-- Why a script: between reading a count and raising it, another server's ad for
-- the same user could be counted, and both would be shown.
-- include clock.lua
-- include hash_clock.lua
-- include upkeep.lua
local windows, now = KEYS[1], clock(ARGV[1])
local timeless = not now or ARGV[1] == '' and redis.call('HEXISTS', windows, '~end') == 1
if timeless then now = clock_of(windows) end

local function record_of(campaign) return KEYS[1 + campaign] end

-- Fills in cap.count, and cap.wait: ms until there is room, 0 when there is.
local function look(cap)
  local state = redis.call('HGET', windows, cap.field)
  if state then
    local expiry, count = state:match('^(%d+) (%d+)$')
    if tonumber(expiry) > now then
      cap.expiry, cap.count = tonumber(expiry), tonumber(count)
    end
  end
  if cap.count >= cap.limit then cap.wait = (cap.expiry or now + 1) - now end
end

-- Raises the count; returns how many ms the hash must live, and 1 for a new field.
local function count(cap)
  cap.expiry = cap.expiry or now + cap.window
  cap.count, cap.mark = cap.count + 1, text(cap.expiry)
  local state = cap.mark .. ' ' .. cap.count
  return cap.expiry - now, redis.call('HSET', windows, cap.field, state)
end

-- include caps.lua
