-- The leases of a campaign in the user's hash: read, written, one taken out.
local function open_leases(campaign)
  return leases_of(redis.call('HGET', windows, campaign .. '~leases'), now)
end

-- `open` is in order: the last to end in front.
local function write_leases(campaign, open)
  local words = {}
  for i, each in ipairs(open) do words[i] = text(each.ends) .. ' ' .. each.id end
  if #open == 0 then return redis.call('HDEL', windows, campaign .. '~leases') end
  redis.call('HSET', windows, campaign .. '~leases', table.concat(words, ' '))
end

-- Takes the lease out; true when it was still open.
local function drop_lease(campaign, lease)
  local open, others = open_leases(campaign), {}
  for _, each in ipairs(open) do
    if each.id ~= lease then others[#others + 1] = each end
  end
  if #others < #open then write_leases(campaign, others) end
  return #others < #open
end
