-- campaign_left.lua: note that the cells which a campaign has left are clean.
-- KEYS[1] index       hash of where its copies stand (campaign:index:{campaign_id})
-- ARGV[1] version     number of the change that cleaned them
-- returns 1 when it was noted, 0 when a later change has its own list
-- Why a script: between reading the number and clearing the list a later change
-- could put more cells on it, which would then be forgotten.
local index = KEYS[1]
if redis.call('HGET', index, 'version') ~= ARGV[1] then return 0 end
redis.call('HSET', index, 'left', '')
return 1
