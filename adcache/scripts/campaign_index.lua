-- campaign_index.lua: remember in which cells a campaign is to be found from now on.
-- KEYS[1] campaign    hash of one campaign (campaign:{campaign_id})
-- KEYS[2] index       hash of where its copies stand (campaign:index:{campaign_id})
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] index_ms    how long its copies are kept
-- ARGV[3] cells       "interest:location interest:location ...", encoded
-- ARGV[4] targeting   what else decides who sees it, as JSON
-- ARGV[5] creatives   ids of its creatives as JSON, or '' for those of the record
-- returns what parts/campaign_change.lua says; the first number is 1 if there is a
--   record
-- Why a script: of two servers that index one campaign at once, the second must
-- know the cells of the first, to remove what it no longer wants there.
-- include clock.lua
-- include campaign_change.lua
local campaign, index, now = KEYS[1], KEYS[2], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local old = redis.call('HMGET', index, 'cells', 'left', 'version')

-- Cells that are no longer wanted stay on a list until its copies there are gone.
local done, left = {}, {}
for cell in ARGV[3]:gmatch('%S+') do done[cell] = true end
for cell in ((old[1] or '') .. ' ' .. (old[2] or '')):gmatch('%S+') do
  if not done[cell] then
    done[cell], left[#left + 1] = true, cell
  end
end
redis.call('HSET', index, 'cells', ARGV[3], 'left', table.concat(left, ' '),
  'targeting', ARGV[4], 'creatives', ARGV[5], 'version', old[3] or 0)
return changed(alive(campaign, now), campaign, index, now, ARGV[2])
