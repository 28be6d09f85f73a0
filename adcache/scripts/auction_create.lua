-- auction_create.lua: open an auction, unless one is running under this id.
-- KEYS[1] auction     hash of one auction (rtb:{auction_id})
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] ttl_ms      how long bids are taken
-- ARGV[3] keep_ms     how long the result is kept after that
-- ARGV[4] floor       bid floor, micros CPM
-- ARGV[5] at          1 first price, 2 second price (OpenRTB at)
-- ARGV[6] private     1: only bids under a deal (OpenRTB private_auction)
-- ARGV[7+] deals      per deal: id, floor in micros CPM, at (3 = fixed price)
-- returns 'created'; 'same' when it is open with the very same terms (a retry
-- after a lost reply); 'exists' when other terms, bids in time or a result stand
-- Why a script: between EXISTS and HSET another caller could open the auction
-- and take bids, which a second HSET would wipe.
-- include clock.lua
local auction, now = KEYS[1], clock(ARGV[1])
local ttl, keep = tonumber(ARGV[2]), tonumber(ARGV[3])
local floor, at, private = ARGV[4], ARGV[5], ARGV[6]
local terms = table.concat(ARGV, ' ', 2)
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end

if redis.call('EXISTS', auction) == 1 then
  local old = redis.call('HMGET', auction, 'terms', 'state', 'expires_ms')
  local open = old[2] == 'open' and now < tonumber(old[3])
  return open and old[1] == terms and 'same' or 'exists'
end

redis.call('HSET', auction, 'state', 'open', 'floor', floor, 'at', at,
  'private', private, 'terms', terms, 'opened_ms', text(now),
  'expires_ms', text(now + ttl))
for deal = 7, #ARGV, 3 do
  local id, deal_floor, deal_at = ARGV[deal], ARGV[deal + 1], ARGV[deal + 2]
  redis.call('HSET', auction, 'deal:' .. id, deal_floor .. ' ' .. deal_at)
end
redis.call('PEXPIRE', auction, ttl + keep)
return 'created'
