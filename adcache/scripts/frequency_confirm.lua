-- frequency_confirm.lua: count the impression of a lease, once.
-- It happened, so it is counted also when its lease has ended or was given back.
-- KEYS[1] windows     hash of one user: "campaign:seconds" -> count and end of a window,
--                     "campaign~leases" -> "expiry_ms lease ..."
-- KEYS[2] record      hash of this lease: campaign -> "open" and its caps, or what
--                     became of it
-- KEYS[3] suppressed  there while this user's data must not be used
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] lease       its id
-- ARGV[3] campaign    the campaign whose ad was seen
-- ARGV[4] keep_ms     how long a duplicate is recognised at least
-- ARGV[5+] caps       for a lease that nobody knows (any more): number of caps, then
--                     limit and window_ms of each
-- returns how: "in_time", "late", "released", "unlisted", or nothing was counted:
--         "duplicate", "unknown", "suppressed"; then 1 if it went over a cap, and of
--         the tightest cap: count, limit, window_ms
-- Why a script: two notices of one impression would both find it not counted.
-- include clock.lua
-- include hash_clock.lua
-- include upkeep.lua
-- include leases.lua
-- include windows_clock.lua
-- include window_state.lua
-- include fixed_window.lua
-- include tightest.lua
-- include lease_fields.lua
-- include lease_caps.lua
local record, lease, campaign = KEYS[2], ARGV[2], ARGV[3]
if redis.call('EXISTS', KEYS[3]) == 1 then return { 'suppressed', 0, 0, 0, 0 } end

local words = {}
for word in (redis.call('HGET', record, campaign) or ''):gmatch('%S+') do words[#words + 1] = word end
if words[1] == 'counted' then return { 'duplicate', 0, 0, 0, 0 } end
if #words == 0 then
  words[1] = 'unlisted'
  for i = 5, #ARGV do words[#words + 1] = ARGV[i] end
end
local state, caps = words[1], read_caps(campaign, words, 2)
if #caps == 0 then return { 'unknown', 0, 0, 0, 0 } end

local in_time = drop_lease(campaign, lease)
local worst, longest = tightest(caps), tonumber(ARGV[4])
local over = worst.wait > 0 and 1 or 0
count_in(caps)
for _, cap in ipairs(caps) do longest = math.max(longest, cap.window) end
redis.call('HSET', record, campaign, 'counted')
keep(record, longest, now, false)
local how = in_time and 'in_time' or state == 'open' and 'late' or state
return { how, over, worst.count, worst.limit, worst.window }
