-- frequency_refund.lua: give a counted impression back, once.
-- KEYS[1] windows     hash of one user with all windows
-- KEYS[2] log         zset of this campaign's impression times
-- KEYS[3] record      what the impression id was answered, and where it counts
-- returns 1 given back, 0 nothing to give (unknown, refused, or given back before)
-- Why a script: two refunds of one impression would both find it counted.
-- include window_state.lua
local windows, log, record = KEYS[1], KEYS[2], KEYS[3]
local known = redis.call('GET', record)
if not known or known:sub(1, 1) ~= '1' then return 0 end

local function lower(field, mark)
  local state = redis.call('HGET', windows, field)
  if field:sub(-4) == ':log' then
    redis.call('ZREM', log, mark)
  elseif state and field:sub(-2) == ':s' then
    local gone, current, previous = state:match('^(%d+) (%d+) (%d+)$')
    local window, since = tonumber(field:match(':(%d+):s$')), tonumber(gone) - tonumber(mark)
    if since == window then current = math.max(0, current - 1) end
    if since == 2 * window then previous = math.max(0, previous - 1) end
    redis.call('HSET', windows, field, gone .. ' ' .. current .. ' ' .. previous)
  elseif state then
    local count = count_of(state)
    if ends_of(state) ~= tonumber(mark) then return end -- a newer window: this one is over
    if count > 1 then
      redis.call('HSET', windows, field, count - 1 .. state:sub(-15))
    else
      redis.call('HDEL', windows, field)
    end
  end
end

for field, mark in known:gmatch('|(%S+) ([^|]+)') do lower(field, mark) end
-- A late retry of the same impression finds this: refused, and it counts nothing.
redis.call('SET', record, '2 1 0 0', 'KEEPTTL')
return 1
