-- frequency_reset.lua: forget all windows and open leases of one user and campaign.
-- KEYS[1] windows     hash of one user with all windows
-- KEYS[2] log         zset of this campaign's impression times
-- ARGV[1] campaign    the campaign, as it stands in the fields
-- returns how many windows were open or kept
-- Why a script: a window opened between listing and deleting would survive.
local windows, log, campaign = KEYS[1], KEYS[2], ARGV[1]
local gone, others = {}, 0
for _, field in ipairs(redis.call('HKEYS', windows)) do
  local ours = field:sub(1, #campaign + 1) == campaign .. ':' or field == campaign .. '~leases'
  if ours then gone[#gone + 1] = field end
  if not ours and field ~= '~end' and field ~= '~seq' then others = others + 1 end
end
for _, field in ipairs(gone) do redis.call('HDEL', windows, field) end
if others == 0 then redis.call('DEL', windows) end -- nothing is left but "~" fields
redis.call('DEL', log)
return #gone
