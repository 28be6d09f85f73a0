-- The board of a cell holds who may run now. "due" says when that changes next: a
-- campaign enters shortly before its start and leaves when its line is over. Who
-- reads or writes the cell first after that moment makes the change.
local LEAD = 60000 -- ms; who keeps an answer that long misses no start
local READY = 64 -- lines that an answer has; adcache/campaigns_index.py knows it, too

-- What a decision asks for, written when it changes, so that asking is one GET: first
-- until when (ms) it is true, then the lines of the highest bids, a line each.
local function make_ready(board, ads, due, ready)
  local ids = redis.call('ZREVRANGE', board, 0, READY - 1)
  local lines = #ids > 0 and redis.call('HMGET', ads, unpack(ids)) or {}
  for i = 1, #ids do lines[i] = lines[i] or '' end
  local first = redis.call('ZRANGE', due, 0, 0)[1]
  if not first and #ids == 0 then return redis.call('DEL', ready) end
  table.insert(lines, 1, first and text(redis.call('ZSCORE', due, first)) or '9007199254740991')
  local life = math.max(1, redis.call('PTTL', due), redis.call('PTTL', board))
  redis.call('SET', ready, table.concat(lines, '\n'), 'PX', life)
end

-- Returns whether it changed anything: then the answer must be made anew.
local function turn(board, ads, due, now)
  local turned = false
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
    turned = turned or #ids > 0
    if #ids < 64 then break end
  end
  return turned
end
