-- record_begin.lua: drop the copy of a record that is going to be written.
-- KEYS[1] record      string: "fresh_until_ms load_ms version JSON"
-- KEYS[2] lease       hash as in record_claim.lua
-- ARGV[1] now_ms      time in ms, or '' for the server's
-- ARGV[2] writer      field of this writer, "w:id"
-- ARGV[3] lease_ms    how long it may take to write
-- returns 1
-- Why a script: a copy kept between dropping the old one and noting the writer
-- would outlive the write.
-- include clock.lua
-- include writers.lua
local record, lease, writer, now = KEYS[1], KEYS[2], ARGV[2], clock(ARGV[1])
others_write(lease, now, writer) -- for the order in it
redis.call('HSET', lease, 'right', writer, writer, text((now or 0) + tonumber(ARGV[3])))
redis.call('PEXPIRE', lease, ARGV[3])
redis.call('DEL', record)
return 1
