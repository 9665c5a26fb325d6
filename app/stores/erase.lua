-- Removes every key of a user, or with a hash only if the stored events are still the ones that the caller read.
-- KEYS  items, events, seen     ARGV  sha1 of the `events` value as read, in hex, or nothing; 1 if the caller waits for
--                                     replicas, else 0.     Returns keys removed, or -1.
-- The bytes are compared and not the version: a user erased and begun anew may well be back at the same version.
if ARGV[1] ~= '' and redis.sha1hex(redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then
    return -1
end
local removed = redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
if removed == 0 and ARGV[2] == '1' then
    -- Erased before, perhaps without the replicas: something for WAIT to wait for, which leaves nothing.
    redis.call('SET', KEYS[1], '')
    redis.call('DEL', KEYS[1])
end
return removed
