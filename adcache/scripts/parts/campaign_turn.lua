-- The board of a cell holds who may run now. "due" says when that changes next: a
-- campaign enters shortly before its start and leaves when its line is over. Who
-- reads or writes the cell first after that moment makes the change.
local LEAD = 60000 -- ms; who keeps an answer that long misses no start

local function turn(board, ads, due, now)
  for _ = 1, 16 do -- bounded: the next call goes on
    local ids = redis.call('ZRANGEBYSCORE', due, '-inf', text(now), 'LIMIT', 0, 64)
    for _, id in ipairs(ids) do
      local line = redis.call('HGET', ads, id) or ''
      local over, _, bid = line:match('^%[%d+,(%-?%d+),(%-?%d+),(%d+)')
      if over and tonumber(over) > now then
        redis.call('ZADD', board, bid, id)
        redis.call('PEXPIRE', board, redis.call('PTTL', due)) -- it may be a new one
        redis.call('ZADD', due, over, id)
      else
        redis.call('ZREM', board, id)
        redis.call('HDEL', ads, id)
        redis.call('ZREM', due, id)
      end
    end
    if #ids < 64 then return end
  end
end
