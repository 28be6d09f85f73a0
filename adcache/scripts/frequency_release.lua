-- frequency_release.lua: give back the place of a lease, once.
-- KEYS[1] windows     hash of one user: "campaign~leases" -> "expiry_ms lease ..."
-- KEYS[2] record      hash of this lease: campaign -> "open" and its caps, or what
--                     became of it
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] lease       its id
-- ARGV[3] campaign    the campaign whose ad was not shown
-- ARGV[4] keep_ms     how long the release is remembered at least
-- returns 1 given back, 0 nothing to give (unknown, counted, ended, given back before)
-- Why a script: a notice that comes in between would be counted, and forgotten.
-- include clock.lua
-- include hash_clock.lua
-- include upkeep.lua
-- include leases.lua
-- include windows_clock.lua
-- include lease_fields.lua
local record, lease, campaign = KEYS[2], ARGV[2], ARGV[3]
local state = redis.call('HGET', record, campaign)
if not state or state:sub(1, 4) ~= 'open' then return 0 end
-- Its caps stay: the impression may have happened after all.
redis.call('HSET', record, campaign, 'released' .. state:sub(5))
keep(record, tonumber(ARGV[4]), now, false)
return drop_lease(campaign, lease) and 1 or 0
