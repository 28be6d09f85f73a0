-- ad_fill.lua: remember what the system of record said of a creative, if nobody knows.
-- KEYS[1] creative    string: one creative as JSON, 'null' for none by this id
-- ARGV[1] record      what was loaded
-- ARGV[2] ttl_ms      how long it is kept
-- returns the record that stands: this one, or what came while it was loaded
-- Why a script: what was set, or deleted, during a slow load is newer than what the
-- load found: it stands, and is what the caller gets.
local creative, record, ttl = KEYS[1], ARGV[1], ARGV[2]
if redis.call('SET', creative, record, 'PX', ttl, 'NX') then return record end
return redis.call('GET', creative)
