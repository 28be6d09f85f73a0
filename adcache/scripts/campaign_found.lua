-- campaign_found.lua: the ids of all campaigns of one cell that may run now.
-- KEYS[1] board       zset of a cell: who may run now, by bid (micros CPM)
-- KEYS[2] ads         hash of the cell: campaign -> its line
-- KEYS[3] due         zset of the cell: when a campaign enters or leaves the board
-- KEYS[4] ready       string: its best lines as text, made anew when a campaign turns
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- returns the ids, encoded
-- Why a script: who is due enters or leaves the board before it is read.
-- include clock.lua
-- include campaign_turn.lua
local board, ads, due, now = KEYS[1], KEYS[2], KEYS[3], clock(ARGV[1])
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
if turn(board, ads, due, now) then make_ready(board, ads, due, KEYS[4]) end
return redis.call('ZREVRANGE', board, 0, -1)
