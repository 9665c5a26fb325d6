-- Adds to the counts of a record, unless it is gone, has ended, or began after the counted facts.
-- KEYS  records, counts (hash: field to number)
-- ARGV  name of the record, time of the facts in Unix ms, then field and amount in turn
-- Returns whether they were added (1 or 0)
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record then
    return 0
end
local facts = cjson.decode(record)
if facts.ended_at or tonumber(ARGV[2]) < facts.started_at then
    return 0
end
for i = 3, #ARGV, 2 do
    redis.call('HINCRBYFLOAT', KEYS[2], ARGV[i], ARGV[i + 1])
end
return 1
