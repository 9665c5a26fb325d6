-- Removes every key of a user; with a hash, only if the stored events are still those that the caller read.
-- KEYS  items, events, trimmed ids
-- ARGV  sha1 of the `events` value as read, in hex, or an empty string; 1 if the caller waits for replicas, else 0
-- Returns the number of keys removed, or -1 if the events have changed.
-- Compares the bytes and not the version: a user who was erased and has new events may be at the same version again.
if ARGV[1] ~= '' and redis.sha1hex(redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then
    return -1
end
local removed = redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
if removed == 0 and ARGV[2] == '1' then
    -- Erased before, but perhaps not yet on the replicas. WAIT covers only writes of the same connection, so this writes
    -- something that leaves no trace.
    redis.call('SET', KEYS[1], '')
    redis.call('DEL', KEYS[1])
end
return removed
