-- Reads the changes of the live catalogue after a version, oldest first.
-- KEYS  records, changes, meta, as in live_items.lua
-- ARGV  the version, most changes to return, bytes of records after which no further piece of changes is returned
-- Returns epoch, version, floor, whether there are no later changes (1 or 0), then per change: item id, version of the
--         change, record ('' if it was removed)
local records, changes, meta = KEYS[1], KEYS[2], KEYS[3]
local facts = redis.call('HMGET', meta, 'epoch', 'version', 'floor')
local PIECE = 20
local most, most_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local scored = redis.call('ZRANGEBYSCORE', changes, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local count = #scored / 2
local reply = {facts[1] or '', facts[2] or '0', facts[3] or '0', '1'}
local num_read, bytes = 0, 0
while num_read < count and bytes < most_bytes do
    local ids = {}
    for i = num_read + 1, math.min(num_read + PIECE, count) do
        ids[#ids + 1] = scored[2 * i - 1]
    end
    local values = redis.call('HMGET', records, unpack(ids))
    for i = 1, #ids do
        local record = values[i] or ''
        bytes = bytes + #record
        reply[#reply + 1] = ids[i]
        reply[#reply + 1] = scored[2 * (num_read + i)]
        reply[#reply + 1] = record
    end
    num_read = num_read + #ids
end
if num_read < count or count == most then
    reply[4] = '0'
end
return reply
