-- Which session has this id now: when it began, '' for none. And whether there is
-- none because it was revoked a moment ago.
local function session_now(session, now)
  local row = redis.call('HMGET', session, 'expires_ms', 'created_us', 'revoked')
  if row[1] and now < tonumber(row[1]) then return row[2], false end
  return '', row[3] and now < tonumber(row[3]:match('^%d+'))
end
