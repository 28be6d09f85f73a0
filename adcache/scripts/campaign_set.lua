-- campaign_set.lua: store a campaign's record; what it has spent is left alone.
-- KEYS[1] campaign    hash of one campaign (campaign:{campaign_id})
-- KEYS[2] index       hash of where its copies stand (campaign:index:{campaign_id})
-- KEYS[3] spend       hash of what it has spent (spend:{campaign_id})
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] ttl_ms      how long the record is kept
-- ARGV[3] index_ms    how long its copies are kept
-- ARGV[4] spent       micros, for a counter where there is none
-- ARGV[5] end_ms      end of the flight
-- ARGV[6] keep_ms     how long the counter outlives the flight
-- ARGV[7] reseed      1: a lost counter begins anew at `spent`; 0: it stays lost
-- ARGV[8+] fields     of the record: name, value, name, value ...
-- returns {1} where it was never indexed, else what parts/campaign_change.lua says
-- Why a script: of two servers that both find no counter, the second would set
-- back what the first has charged; and a reader must not see half a record.
-- include clock.lua
-- include campaign_change.lua
local campaign, index, spend, now = KEYS[1], KEYS[2], KEYS[3], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end

-- A counter that was there and is gone was lost; to begin anew would spend twice.
local lost = redis.call('HGET', campaign, 'seeded') and ARGV[7] == '0'
redis.call('HSET', campaign, 'expires_ms', text(now + tonumber(ARGV[2])), 'end_ms', ARGV[5],
  'seeded', '1', unpack(ARGV, 8, #ARGV))
redis.call('PEXPIRE', campaign, ARGV[2])

local life = math.max(0, tonumber(ARGV[5]) - now) + tonumber(ARGV[6])
local new = not lost and redis.call('HSETNX', spend, 'spent', ARGV[4]) == 1
local left = redis.call('PTTL', spend)
if new and left < 0 or left >= 0 and left < life then redis.call('PEXPIRE', spend, text(life)) end
return changed(1, campaign, index, now, ARGV[3])
