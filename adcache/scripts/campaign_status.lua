-- campaign_status.lua: pause a campaign, let it run again, or give it another status.
-- KEYS[1] campaign    hash of one campaign (campaign:{campaign_id})
-- KEYS[2] index       hash of where its copies stand (campaign:index:{campaign_id})
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] index_ms    how long its copies are kept
-- ARGV[3] status      any word; 'active' is the one that runs
-- returns {0} for an unknown campaign, else what parts/campaign_change.lua says
-- Why a script: a record that expires between looking and writing would come back
-- as a campaign that is nothing but a status.
-- include clock.lua
-- include campaign_change.lua
local campaign, index, now = KEYS[1], KEYS[2], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
if alive(campaign, now) == 0 then return { 0 } end
redis.call('HSET', campaign, 'status', ARGV[3])
return changed(1, campaign, index, now, ARGV[2])
