-- bid_request_claim.lua: let exactly one worker process a bid request.
-- KEYS[1] request     hash of one request (bid:request:{exchange:request_id})
-- ARGV[1] owner       who asks; the same owner asking again is a retry
-- ARGV[2] ttl_ms      how long a duplicate is recognised
-- ARGV[3] body        the request as JSON
-- returns {'first'}, {'pending'} (another worker has it) or {'answered', JSON}
-- Why a script: two workers that both read "unknown" would both bid.
local request, owner, ttl, body = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call('HSETNX', request, 'owner', owner) == 1 then
  redis.call('HSET', request, 'request', body)
  redis.call('PEXPIRE', request, ttl)
  return {'first'}
end
local known = redis.call('HMGET', request, 'owner', 'response')
if known[2] then return {'answered', known[2]} end
return {known[1] == owner and 'first' or 'pending'}
