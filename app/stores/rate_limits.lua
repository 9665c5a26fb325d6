-- Takes tokens from a bucket that all processes share.
-- KEYS: bucket. ARGV: tokens per second, capacity, wanted tokens, 1 to take them in any case (into debt).
-- Returns the tokens taken and, as text, the seconds until one is available.
local rate, capacity, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = capacity
if bucket[1] then
  tokens = math.min(capacity, tonumber(bucket[1]) + math.max(0, now - tonumber(bucket[2])) * rate)
end
local taken = 0
if ARGV[4] == '1' then
  taken = wanted
elseif tokens >= 1 then
  taken = math.min(wanted, math.floor(tokens))
end
tokens = tokens - taken
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - tokens) / rate * 1000) + 1000)
return {taken, string.format('%.6f', math.max(0, (1 - tokens) / rate))}
