-- Is another caller writing this record now? The lease hash has a field for each
-- writer, "w:id" -> until_ms; those that ended without a word are dropped.
local function others_write(lease, now, me)
  local found, all = false, redis.call('HGETALL', lease)
  for i = 1, #all, 2 do
    if all[i]:sub(1, 2) == 'w:' and all[i] ~= me then
      if not now or tonumber(all[i + 1]) > now then
        found = true
      else
        redis.call('HDEL', lease, all[i])
      end
    end
  end
  return found
end
