-- A user's own list of segments: segment -> when the membership ends, in ms. Half a
-- ms more marks the profile's own segment. 0 stands for "being left": it goes when
-- the segment, which may live on another node, has let the user go.
local function is_own(score) return score and score:sub(-2) == '.5' end

-- Notes that the user enters `segment` until `ends`; of more than `most` segments
-- those that end soonest are left. Returns every segment that is to be left: also
-- those that are over, and those that a crash kept from being left before. The list
-- outlives its last membership by one more ttl: nobody is forgotten in a segment.
local function enter(list, segment, ends, now, ttl, most)
  redis.call('ZADD', list, ends, segment)
  local running = text(now + 1)
  local excess = redis.call('ZCOUNT', list, running, '+inf') - most
  if excess > 0 then
    local soonest = redis.call('ZRANGEBYSCORE', list, running, '+inf', 'LIMIT', 0, excess + 1)
    for _, other in ipairs(soonest) do
      if other ~= segment and excess > 0 then
        redis.call('ZADD', list, 0, other)
        excess = excess - 1
      end
    end
  end
  if redis.call('PTTL', list) < 2 * ttl then redis.call('PEXPIRE', list, text(2 * ttl)) end
  return redis.call('ZRANGEBYSCORE', list, '-inf', '(' .. running)
end
