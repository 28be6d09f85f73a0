-- campaign_delete.lua: forget a campaign's record; its money is not forgotten.
-- KEYS[1] campaign    hash of one campaign (campaign:{campaign_id})
-- KEYS[2] index       hash of where its copies stand (campaign:index:{campaign_id})
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] index_ms    how long its copies are kept
-- returns what parts/campaign_change.lua says; the first number is 1 if there was a
--   record
-- Why a script: a copy written between reading where copies stand and deleting the
-- record would be found by nobody who cleans up.
-- include clock.lua
-- include campaign_change.lua
local campaign, index, now = KEYS[1], KEYS[2], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local known = alive(campaign, now)
redis.call('DEL', campaign)
local old = redis.call('HMGET', index, 'cells', 'left')
if old[1] then
  redis.call('HSET', index, 'cells', '', 'left', old[1] .. ' ' .. old[2])
end
return changed(known, campaign, index, now, ARGV[2])
