-- campaign_ads.lua: the campaigns of one cell with the highest bids, ready to decide.
-- KEYS[1] board       zset of a cell: who may run now, by bid (micros CPM)
-- KEYS[2] ads         hash of the cell: campaign -> its line
-- KEYS[3] due         zset of the cell: when a campaign enters or leaves the board
-- KEYS[4] ready       string: its best lines as text, made anew when a campaign turns
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] best        how many lines at most
-- returns the lines, the highest bid first
-- Why a script: the lines of those on the board are asked for in the same trip, and
-- a campaign that leaves in between would leave a hole.
-- include clock.lua
-- include campaign_turn.lua
local board, ads, due, now = KEYS[1], KEYS[2], KEYS[3], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
if turn(board, ads, due, now) then make_ready(board, ads, due, KEYS[4]) end
local ids = redis.call('ZREVRANGE', board, 0, ARGV[2] - 1)
return #ids == 0 and {} or redis.call('HMGET', ads, unpack(ids))
