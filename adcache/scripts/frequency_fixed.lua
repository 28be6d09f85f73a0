-- frequency_fixed.lua: count an impression if all caps of its campaign allow it.
-- Fixed window: it opens at the first impression and ends window_ms later,
-- whatever happens in between. At most 2 * limit - 1 impressions can fall into
-- one window's length: one early, limit - 1 just before the end, limit after it.
-- KEYS[1] windows     hash of one user: "campaign:window_ms" -> "expiry_ms count"
-- KEYS[2+] records    per campaign: what this impression id was answered
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] mode        0 look only, 1 count, 2 count and remember the impression id
-- ARGV[3+] caps       per campaign: number of caps, then field, limit, window_ms
-- returns per campaign, flat: allowed, deciding cap, its count, ms to wait (-1 = ever)
-- Why a script: between reading a count and raising it, another server's ad for
-- the same user could be counted, and both would be shown.
-- include clock.lua
local windows, now = KEYS[1], clock(ARGV[1])
local ttl_is_clock = now == nil
if ttl_is_clock then -- then the key's own TTL tells the time: "~end" less what is left
  local left = redis.call('PTTL', windows)
  now = left < 0 and 0 or tonumber(redis.call('HGET', windows, '~end') or left) - left
end

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
  local left = cap.expiry - now
  if ttl_is_clock then
    left = math.max(left, redis.call('PTTL', windows))
    redis.call('HSET', windows, '~end', text(now + left))
  end
  return left, redis.call('HSET', windows, cap.field, cap.mark .. ' ' .. cap.count)
end

-- include caps.lua
