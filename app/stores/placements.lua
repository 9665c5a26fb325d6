-- Writes or removes the settings of a placement; each change draws a new stamp, by which readers see it.
-- KEYS  settings (hash: name to JSON), stamp
-- ARGV  new stamp, most placements, name, settings ('' removes them)
-- Returns created, updated, unchanged, removed, absent or full
local settings, stamp, name, value = KEYS[1], KEYS[2], ARGV[3], ARGV[4]
local current = redis.call('HGET', settings, name) or ''
if current == value then
    return value == '' and 'absent' or 'unchanged'
end
if current == '' and redis.call('HLEN', settings) >= tonumber(ARGV[2]) then
    return 'full'
end
redis.call('SET', stamp, ARGV[1])
if value == '' then
    redis.call('HDEL', settings, name)
    return 'removed'
end
redis.call('HSET', settings, name, value)
return current == '' and 'created' or 'updated'
