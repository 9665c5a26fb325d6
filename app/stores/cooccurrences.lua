-- Adds weights of items that occur with new items; each changed item gets the next version.
-- KEYS  records (hash: item id to neighbours), changes (sorted set: item id by version), meta (hash: epoch, version)
-- ARGV  epoch of a new hash, most items, most neighbours of an item, then per item: id, number of neighbours, and for
--       each of them the item key (8 bytes) and the weight to add
-- A record is 16 bytes per neighbour: key, and weight as a double; by descending weight.
local records, changes, meta = KEYS[1], KEYS[2], KEYS[3]
redis.call('HSETNX', meta, 'epoch', ARGV[1])
local most_items, most_neighbours = tonumber(ARGV[2]), tonumber(ARGV[3])
local version = tonumber(redis.call('HGET', meta, 'version') or '0')
local i = 4
while i <= #ARGV do
    local id, count = ARGV[i], tonumber(ARGV[i + 1])
    local current = redis.call('HGET', records, id) or ''
    local weights, keys = {}, {}
    for start = 1, #current, 16 do
        local key = string.sub(current, start, start + 7)
        weights[key] = struct.unpack('<d', string.sub(current, start + 8, start + 15))
        keys[#keys + 1] = key
    end
    for n = 1, count do
        local key, weight = ARGV[i + 2 * n], tonumber(ARGV[i + 2 * n + 1])
        if not weights[key] then
            keys[#keys + 1] = key
        end
        weights[key] = (weights[key] or 0) + weight
    end
    table.sort(keys, function(a, b)
        if weights[a] ~= weights[b] then
            return weights[a] > weights[b]
        end
        return a < b
    end)
    local parts = {}
    for n = 1, math.min(#keys, most_neighbours) do
        parts[n] = keys[n] .. struct.pack('<d', weights[keys[n]])
    end
    version = version + 1
    redis.call('HSET', records, id, table.concat(parts))
    redis.call('ZADD', changes, string.format('%.0f', version), id)
    i = i + 2 + 2 * count
end
redis.call('HSET', meta, 'version', string.format('%.0f', version))
local excess = redis.call('ZCARD', changes) - most_items
if excess > 0 then
    for _, id in ipairs(redis.call('ZRANGE', changes, 0, excess - 1)) do
        redis.call('HDEL', records, id)
        redis.call('ZREM', changes, id)
    end
end
return version
