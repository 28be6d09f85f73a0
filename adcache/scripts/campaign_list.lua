-- campaign_list.lua: put a campaign's line into one cell of the index, or take it out.
-- KEYS[1] board       zset of a cell: who may run now, by bid (micros CPM)
-- KEYS[2] ads         hash of the cell: campaign -> its line
-- KEYS[3] due         zset of the cell: when a campaign enters or leaves the board
-- KEYS[4] ready       string: its best lines as text, what a decision reads
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] keep_ms     how long what is written here is kept
-- ARGV[3] campaign    the campaign, encoded
-- ARGV[4] version     number of the change that writes this
-- ARGV[5] line        JSON array: version, over_ms, start_ms, bid, ...; '' takes it out
-- returns 1, or 0 when a later change was here before
-- Why a script: two changes of one campaign may arrive here in the wrong order; and
-- the board must never show a campaign whose line is missing.
-- include clock.lua
-- include campaign_turn.lua
local board, ads, due, now = KEYS[1], KEYS[2], KEYS[3], clock(ARGV[1])
local keep, campaign, version, line = tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
if not now then return redis.error_reply('NOTIME this Redis user may not ask for TIME') end
local known = redis.call('HGET', ads, campaign)
if known and tonumber(known:match('^%[(%d+)')) > tonumber(version) then return 0 end

local over, start, bid = line:match('^%[%d+,(%-?%d+),(%-?%d+),(%d+)')
local next_turn = over
if not over or tonumber(over) <= now then
  -- Only the number stays, for as long as a line of an earlier change may arrive.
  line, next_turn = '[' .. version .. ']', text(now + keep)
  redis.call('ZREM', board, campaign)
elseif tonumber(start) - LEAD > now then
  next_turn = text(start - LEAD)
  redis.call('ZREM', board, campaign)
else
  redis.call('ZADD', board, bid, campaign)
end
redis.call('HSET', ads, campaign, line)
redis.call('ZADD', due, next_turn, campaign)
for _, key in ipairs({ board, ads, due }) do
  if redis.call('PTTL', key) < keep then redis.call('PEXPIRE', key, keep) end
end
turn(board, ads, due, now)
make_ready(board, ads, due, KEYS[4])
return 1
