-- Writes or removes records of the live catalogue; each change gets the next version.
-- KEYS  records (hash: item id to record), changes (sorted set: item id by version), meta (hash: epoch, version,
--       floor), removed (sorted set: item id by the version of its removal)
-- ARGV  epoch of a new catalogue, most removed ids to remember, most records, then per item: id, whether the current
--       record must be the expected one (1 or 0), expected record ('' for none), new record ('' removes it)
-- Returns one outcome per item: created, updated, unchanged, removed, absent, full, or conflict
local records, changes, meta, removed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
redis.call('HSETNX', meta, 'epoch', ARGV[1])
local most_removed, most_records = tonumber(ARGV[2]), tonumber(ARGV[3])
local version = tonumber(redis.call('HGET', meta, 'version') or '0')
local outcomes = {}
for i = 4, #ARGV, 4 do
    local id, is_expected, expected, record = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local current = redis.call('HGET', records, id) or ''
    local outcome
    if is_expected == '1' and current ~= expected then
        outcome = 'conflict'
    elseif current == record then
        outcome = record == '' and 'absent' or 'unchanged'
    elseif current == '' and redis.call('HLEN', records) >= most_records then
        outcome = 'full'
    else
        version = version + 1
        local score = string.format('%.0f', version)
        redis.call('ZADD', changes, score, id)
        if record == '' then
            outcome = 'removed'
            redis.call('HDEL', records, id)
            redis.call('ZADD', removed, score, id)
        else
            outcome = current == '' and 'created' or 'updated'
            redis.call('HSET', records, id, record)
            redis.call('ZREM', removed, id)
        end
        redis.call('HSET', meta, 'version', score)
    end
    outcomes[#outcomes + 1] = outcome
end
local excess = redis.call('ZCARD', removed) - most_removed
if excess > 0 then
    -- Readers behind the floor read everything again, because they could miss these removals. Some more are forgotten,
    -- so that the floor does not rise with each removal, and readers can end in between.
    local last = excess - 1 + math.floor(most_removed / 100)
    local forgotten = redis.call('ZRANGE', removed, 0, last, 'WITHSCORES')
    for i = 1, #forgotten, 2 do
        redis.call('ZREM', changes, forgotten[i])
        redis.call('ZREM', removed, forgotten[i])
    end
    redis.call('HSET', meta, 'floor', forgotten[#forgotten])
end
return outcomes
