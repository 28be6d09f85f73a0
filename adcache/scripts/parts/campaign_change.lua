-- 1 while a campaign's record counts, else 0: not there, or past its time.
local function alive(campaign, now)
  local expires = redis.call('HGET', campaign, 'expires_ms')
  return expires and now < tonumber(expires) and 1 or 0
end

-- Copies of a campaign stand in cells of the targeting index, on other nodes. Of
-- two changes the later one must win in every cell, so each takes a higher number
-- here before it goes there. Answers whether the campaign is known (1 or 0) and, if
-- it was ever indexed, all that is needed to write its copies anew.
local function changed(known, campaign, index, now, index_ms)
  local row = redis.call('HMGET', index, 'version', 'cells', 'left', 'targeting', 'creatives')
  if not row[1] then return { known } end
  local version = text(math.max(now, tonumber(row[1]) + 1))
  redis.call('HSET', index, 'version', version)
  redis.call('PEXPIRE', index, index_ms)
  local record = redis.call('HMGET', campaign, 'record', 'status', 'expires_ms')
  for i = 1, 3 do record[i] = record[i] or '' end
  return { known, text(now), version, row[2], row[3], row[4], row[5], unpack(record) }
end
