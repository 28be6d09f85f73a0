-- frequency_lease.lua: take a place at the bid, for an impression that may come.
-- Each choice is a list of campaigns, best first. The first one that all its caps
-- allow is taken; one that an earlier choice took is shared if nothing else is free.
-- KEYS[1] windows     hash of one user: "campaign:seconds" -> count and end of a window,
--                     "campaign~leases" -> "expiry_ms lease ..."
-- KEYS[2] record      hash of this lease: campaign -> "open" and its caps, or what
--                     became of it
-- KEYS[3] suppressed  there while this user's data must not be used
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] lease       its id: asked for again, it takes no second place
-- ARGV[3] ttl_ms      how long a place is held
-- ARGV[4] keep_ms     how long its record is kept beyond that
-- ARGV[5+] choices    per choice: number of campaigns; per campaign: its name, number
--                     of caps, then limit and window_ms of each
-- returns per choice, flat: which campaign (0 none), deciding cap, its count, ms to
--         wait (-1 = ever), why: "free", "capped", "released", "suppressed"
-- Why a script: of two servers that find one place left, both would bid with it.
-- include clock.lua
-- include lease_usual.lua
-- include hash_clock.lua
-- include upkeep.lua
-- include leases.lua
-- include windows_clock.lua
-- include window_state.lua
-- include fixed_window.lua
-- include tightest.lua
-- include lease_fields.lua
-- include lease_caps.lua
local record, lease, ttl = KEYS[2], ARGV[2], tonumber(ARGV[3])
local known = redis.call('EXISTS', record, KEYS[3]) > 0 -- nothing is, in the usual case
local suppressed = known and redis.call('EXISTS', KEYS[3]) == 1
local again = known and redis.call('EXISTS', record) == 1 -- this id was asked for before
local MOST = 100 -- open leases of a campaign: a robot's must not grow for ever

-- include lease_take.lua
local at, taken, reply = 5, {}, {}
local TURNS = { -- what it holds comes first, so that a retry is answered alike
  function(one) return not taken[one.campaign] and holds(one) end,
  function(one) return not taken[one.campaign] and take(one) end,
  function(one) return taken[one.campaign] end,
}

local function choose(choice)
  for _, turn in ipairs(suppressed and {} or TURNS) do
    for i, one in ipairs(choice) do
      if turn(one) then
        taken[one.campaign], one.why = true, 'free'
        return i, one
      end
    end
  end
  return 0, choice[#choice]
end

while ARGV[at] do
  local choice, size = {}, tonumber(ARGV[at])
  at = at + 1
  for i = 1, size do
    choice[i] = { campaign = ARGV[at], caps_at = at + 1, why = 'suppressed' }
    at = at + 2 + 2 * ARGV[at + 1]
  end
  local index, one = choose(choice)
  local worst = one.worst or { index = 1, count = 0, held = 0, wait = -1 }
  for _, part in ipairs({ index, worst.index, worst.count + worst.held, whole(worst.wait), one.why }) do
    reply[#reply + 1] = part
  end
end
return reply
