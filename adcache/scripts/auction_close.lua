-- auction_close.lua: close an auction once; every caller gets the same result.
-- KEYS[1] auction     hash of one auction (rtb:{auction_id})
-- returns {} when there is no such auction, else {campaign, bidder, price,
--   clearing price, deal}; prices in micros CPM, '' where nobody bid
-- Why a script: a bid between reading the winner and closing would be told that
-- it leads, and never be paid.
local auction = KEYS[1]
local state = redis.call('HGET', auction, 'state')
if not state then return {} end
if state == 'open' then redis.call('HSET', auction, 'state', 'closed') end
local row = redis.call('HMGET', auction, 'campaign', 'bidder', 'price', 'clearing', 'deal')
for i = 1, 5 do row[i] = row[i] or '' end
return row
