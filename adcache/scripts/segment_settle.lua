-- segment_settle.lua: after a user joined and left segments, say which to undo.
-- KEYS[1] memberships  zset of this user: segment -> when the membership ends, 0 left
-- KEYS[2] suppressed   is there while nothing of this user may be stored
-- ARGV[1] joined       how many of the segments were joined; the others were left
-- ARGV[2+] segments    first those joined, then those left
-- returns the segments to be done the other way round
-- Why a script: what was left is forgotten only if nobody wants it again by now.
local memberships, joined = KEYS[1], tonumber(ARGV[1])
local suppressed = redis.call('EXISTS', KEYS[2]) == 1
local undo = {}
for i = 2, #ARGV do
  local ends = redis.call('ZSCORE', memberships, ARGV[i])
  local wanted = ends and ends ~= '0' and not suppressed
  local is_in = i - 1 <= joined
  if is_in and not wanted or wanted and not is_in then undo[#undo + 1] = ARGV[i] end
  if not is_in and not wanted then redis.call('ZREM', memberships, ARGV[i]) end
end
return undo
