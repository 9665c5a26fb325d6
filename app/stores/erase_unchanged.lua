-- Removes every key of a user if the stored events are still the ones that the caller read, else nothing.
-- KEYS  items, events, seen     ARGV  sha1 of the `events` value as read, in hex.     Returns keys removed, or -1.
-- The bytes are compared and not the version: a user erased and begun anew may well be back at the same version.
if redis.sha1hex(redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then
    return -1
end
return redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
