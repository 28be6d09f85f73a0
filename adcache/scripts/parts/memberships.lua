-- A user's own list of segments: segment -> when the membership ends, in ms. Half a
-- ms more marks the profile's own segment. 0 stands for "being left": it goes when
-- the segment, which may live on another node, has let the user go.
-- Notes that the user enters `segment`, for `ttl` ms; with `own` it becomes the
-- profile's own, and the former one is to be left. Of more than `most` segments
-- those that end soonest are left. Returns all that are to be left: also those that
-- are over, and those that a crash kept from being left before. The list outlives
-- its last membership by one more ttl, so no segment keeps a user unnoticed.
local function enter(list, segment, own, now, ttl, most)
  local gone, running, mark = {}, {}, own and '.5' or ''
  local function leave(other)
    redis.call('ZADD', list, 0, other)
    gone[#gone + 1] = other
  end
  local entries = redis.call('ZRANGE', list, 0, -1, 'WITHSCORES')
  for i = 1, #entries, 2 do
    local other, is_own = entries[i], entries[i + 1]:sub(-2) == '.5'
    if other == segment then
      if is_own then mark = '.5' end -- entering it by hand changes nothing in that
    elseif own and is_own or tonumber(entries[i + 1]) < now + 1 then
      leave(other)
    else
      running[#running + 1] = other
    end
  end
  for i = 1, #running + 1 - most do leave(running[i]) end
  redis.call('ZADD', list, text(now + ttl) .. mark, segment)
  if redis.call('PTTL', list) < 2 * ttl then redis.call('PEXPIRE', list, text(2 * ttl)) end
  return gone
end
