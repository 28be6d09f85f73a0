-- bid_request_answer.lua: keep the first answer to a bid request, and its context.
-- KEYS[1] request     hash of one request (bid:request:{exchange:request_id})
-- KEYS[2] context     hash that outlives it, for the notices about the bid
-- ARGV[1] body        the request as JSON
-- ARGV[2] response    the response as JSON, '' for no bid
-- ARGV[3] context_ms  how long notices may come: bid.exp + notice horizon
-- returns {1} when this answer stands, {0, the earlier answer} when it came late
-- Why a script: two answers written at once would tell the exchange one price
-- and bill by the other.
local request, context = KEYS[1], KEYS[2]
local body, response, context_ms = ARGV[1], ARGV[2], ARGV[3]
local earlier = redis.call('HGET', context, 'response')
  or redis.call('HGET', request, 'response')
if earlier and earlier ~= response then return {0, earlier} end
if redis.call('EXISTS', request) == 1 then
  redis.call('HSET', request, 'response', response)
end
if response ~= '' and not earlier then
  redis.call('HSET', context, 'request', body, 'response', response)
  redis.call('PEXPIRE', context, context_ms)
end
return {1}
