-- ad_forget.lua: forget a creative, and know for a while that there is none.
-- KEYS[1] creative    string: one creative as JSON, 'null' for none by this id
-- ARGV[1] ttl_ms      how long it is known that there is none
-- returns 1 when there was a creative, 0 when there was none
-- Why a script: a creative set between looking and forgetting would go unseen.
local creative, ttl = KEYS[1], ARGV[1]
local before = redis.call('GET', creative)
redis.call('SET', creative, 'null', 'PX', ttl)
return before and before ~= 'null' and 1 or 0
