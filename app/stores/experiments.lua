-- Writes or removes one record of the experiments, unless another writer was faster.
-- KEYS  records (hash: name to record), token (string, another one after every change), counts of this record
-- ARGV  expected token ('' for none), next token, name, record ('' removes it), whether to drop the counts (1 or 0)
-- Returns whether it was written (1 or 0)
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then
    return 0
end
if ARGV[4] == '' then
    redis.call('HDEL', KEYS[1], ARGV[3])
else
    redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
end
if ARGV[5] == '1' then
    redis.call('DEL', KEYS[3])
end
redis.call('SET', KEYS[2], ARGV[2])
return 1
