-- Without the right to ask for TIME the hash's own TTL tells the time: the field
-- "~end" says when the hash will end, PTTL how long that is from now. A hash with
-- "~end" is read so by everybody, or its windows would seem to be over.
local function clock_of(hash)
  local left = redis.call('PTTL', hash)
  return left < 0 and 0 or tonumber(redis.call('HGET', hash, '~end') or left) - left
end
