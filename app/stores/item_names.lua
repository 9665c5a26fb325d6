-- Stores item ids by item key in one hash of bounded size; a full hash evicts random ids.
-- KEYS  the hash
-- ARGV  maximum number of ids, then item key and item id in pairs
for i = 2, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
local excess = redis.call('HLEN', KEYS[1]) - tonumber(ARGV[1])
if excess > 0 then
    redis.call('HDEL', KEYS[1], unpack(redis.call('HRANDFIELD', KEYS[1], excess)))
end
return excess
