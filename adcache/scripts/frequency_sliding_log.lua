-- frequency_sliding_log.lua: count an impression if all caps of its campaign allow it.
-- Sliding log: the time of every impression is kept, so that no window_ms ever
-- holds more than limit, wherever it starts. Exact, and as large as the limit.
-- KEYS[1] windows     hash of one user: "campaign:log" -> "gone_ms longest_window_ms"
-- KEYS[2+] logs       per campaign: zset of impression times, then the record of
--                     what this impression id was answered
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] mode        0 look only, 1 count, 2 count and remember the impression id
-- ARGV[3+] caps       per campaign: number of caps, then field, limit, window_ms
-- returns per campaign, flat: allowed, deciding cap, its count, ms to wait (-1 = ever)
-- Why a script: between counting the log and adding to it, another server's ad
-- for the same user could be added, and both would be shown.
-- include clock.lua
-- include upkeep.lua
local windows, now, timeless = KEYS[1], clock(ARGV[1]), false
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local members = {}

local function log_of(campaign) return KEYS[2 * campaign] end
local function record_of(campaign) return KEYS[2 * campaign + 1] end

-- Fills in cap.count, and cap.wait: ms until there is room, 0 when there is.
local function look(cap)
  local log, from = log_of(cap.campaign), '(' .. text(now - cap.window)
  cap.count = redis.call('ZCOUNT', log, from, '+inf')
  if cap.count >= cap.limit and cap.limit > 0 then
    local blocking = redis.call('ZRANGEBYSCORE', log, from, '+inf', 'WITHSCORES',
      'LIMIT', cap.count - cap.limit, 1)
    cap.wait = tonumber(blocking[2]) + cap.window - now
  end
end

-- Adds the impression, once for all caps, and drops what no cap looks at any more.
-- Returns how many ms the hash must live, and 1 for a new field.
local function count(cap)
  local log = log_of(cap.campaign)
  local member = members[cap.campaign] or text(redis.call('HINCRBY', windows, '~seq', 1))
  members[cap.campaign] = member
  cap.count, cap.mark = cap.count + 1, member
  local state = redis.call('HGET', windows, cap.field) or '0 0'
  local longest = math.max(cap.window, tonumber(state:match('%d+$')))
  redis.call('ZADD', log, text(now), member)
  redis.call('ZREMRANGEBYSCORE', log, '-inf', text(now - longest))
  redis.call('PEXPIRE', log, longest)
  state = text(now + longest) .. ' ' .. text(longest)
  return longest, redis.call('HSET', windows, cap.field, state)
end

-- include tightest.lua
-- include caps.lua
