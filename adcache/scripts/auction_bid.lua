-- auction_bid.lua: submit one or more bids to an open auction.
-- KEYS[1] auction     hash of one auction (rtb:{auction_id})
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2+] bids       per bid: bidder, campaign, price in micros CPM, deal or ''
-- returns per bid, flat: verdict, price leading after it (micros CPM, '' = none)
--   verdict: leading, outbid, below_floor, no_auction, closed, expired,
--   private (a deal is needed) or no_deal (the auction has no such deal)
-- Why a script: between reading the best bid and writing a better one, another
-- bidder could write a still better one, which would then be lost.
--
-- Two prices are enough for any number of bidders: the best bid, and `second`,
-- the best bid of a different bidder. `clearing` is what the winner would pay
-- now: its own bid (at 1), the fixed price (at 3), else the second price, but
-- at least its floor. A tie goes to the bid that came first.
-- include clock.lua
local auction, now = KEYS[1], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local row = redis.call('HMGET', auction, 'state', 'expires_ms', 'floor', 'at',
  'private', 'bidder', 'price', 'second', 'winner_floor', 'winner_at')
local state, expires = row[1], tonumber(row[2])
local bidder, price, second, winner_floor, winner_at = unpack(row, 6, 10)
local closed = (not state and 'no_auction') or (state ~= 'open' and state)
  or (now >= expires and 'expired')
local verdicts, changed = {}, false

local function judge(who, campaign, bid, deal)
  local floor, at = row[3], row[4]
  if closed then return closed end
  if deal ~= '' then
    local terms = redis.call('HGET', auction, 'deal:' .. deal)
    if not terms then return 'no_deal' end
    floor, at = terms:match('^(%d+) (%d+)$')
  elseif row[5] == '1' then
    return 'private'
  end
  if tonumber(bid) < tonumber(floor) then return 'below_floor' end
  if at == '3' then bid = floor end -- a fixed price is not outbid by bidding more
  if not price or tonumber(bid) > tonumber(price) then
    if price and who ~= bidder then second = price end
    bidder, price, winner_floor, winner_at = who, bid, floor, at
    redis.call('HSET', auction, 'campaign', campaign, 'deal', deal)
    changed = true
  elseif who ~= bidder then
    if not second or tonumber(bid) > tonumber(second) then second, changed = bid, true end
    return 'outbid'
  end
  return 'leading' -- also a bidder's lower bid after its better one
end

for i = 2, #ARGV, 4 do
  verdicts[#verdicts + 1] = judge(unpack(ARGV, i, i + 3))
  verdicts[#verdicts + 1] = price or ''
end

if changed then
  local clearing = price -- at 1, and at 3 where the bid is the fixed price
  if winner_at == '2' then
    local beats_floor = second and tonumber(second) > tonumber(winner_floor)
    clearing = beats_floor and second or winner_floor
  end
  redis.call('HSET', auction, 'bidder', bidder, 'price', price, 'clearing', clearing,
    'winner_floor', winner_floor, 'winner_at', winner_at)
  if second then redis.call('HSET', auction, 'second', second) end
end
return verdicts
