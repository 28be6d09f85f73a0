-- Without the right to ask for TIME the hash's own TTL tells the time: the field
-- "~end" says when the hash will end, PTTL how long that is from now.
local function clock_of(hash)
  local left = redis.call('PTTL', hash)
  return left < 0 and 0 or tonumber(redis.call('HGET', hash, '~end') or left) - left
end
