-- Removes every key of a user and logs it. For a merge, it moves the user instead: only if the history is still the one
-- that the caller read, and the merge is still registered.
-- KEYS  items, seen, events, event log, merges, impressions
-- ARGV  1 if the caller waits for replicas, else 0; event log (off or another word), user id; for a merge also the sha1
--       of the `items` value as read, in hex, its target and its token
-- Returns {the number of keys removed, without that of merges}, for an erasure followed by two lists: token and target of
-- each merge that moves the user elsewhere, token and source of each that is not finished and whose events the history
-- had. For a merge followed by the lifetime of the impressions in ms and these, as pairs of mark and time; {-1} if the
-- history has changed, {-2} if the merge was cancelled.
-- Compares the bytes and not the version: a user who was erased and has new events may be at the same version again.
local waits, log, user, sha1, target, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if token then
    if redis.call('HEXISTS', KEYS[5], '>' .. token) == 0 then
        return {-2}
    elseif redis.sha1hex(redis.call('GET', KEYS[1]) or '') ~= sha1 then
        return {-1}
    end
end
local lifetime, shown = redis.call('PTTL', KEYS[6]), {}
if token and redis.call('TYPE', KEYS[6]).ok == 'zset' then
    shown = redis.call('ZRANGE', KEYS[6], 0, -1, 'WITHSCORES')
end
local reply, outgoing, incoming = {redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[6])}, {}, {}
-- What is added comes last: a server that is out of memory lets a script add something only after it has removed
-- something.
if token then
    local place = ''
    if log ~= 'off' then -- the id of an entry that no reader sees: the events in front of it are moved
        place = redis.call('XADD', KEYS[4], '*', 'u', user, 'c', 'merge')
        redis.call('XDEL', KEYS[4], place)
    end
    redis.call('HDEL', KEYS[5], '>' .. token)
    redis.call('HSET', KEYS[5], 'c' .. token, place .. '|' .. target)
    return {reply[1], lifetime, shown}
end
if redis.call('TYPE', KEYS[5]).ok ~= 'hash' then
    redis.call('DEL', KEYS[5])
else
    local fields = redis.call('HGETALL', KEYS[5])
    for i = 1, #fields, 2 do
        local kind, other, value = string.sub(fields[i], 1, 1), string.sub(fields[i], 2), fields[i + 1]
        if kind ~= 'x' then
            redis.call('HDEL', KEYS[5], fields[i])
        end
        if kind == '>' then
            value = '|' .. value
        end
        local state = string.sub(value, 1, 1)
        if kind == '<' and (state == 'a' or state == 'f') then
            incoming[#incoming + 1] = other
            incoming[#incoming + 1] = string.sub(value, 2)
        elseif kind ~= '<' then -- events of the user may be at the target; `x` is from an erasure that did not end
            redis.call('HSET', KEYS[5], 'x' .. other, value)
            outgoing[#outgoing + 1] = other
            outgoing[#outgoing + 1] = string.match(value, '|(.*)$')
        end
    end
end
if log ~= 'off' then
    redis.call('XADD', KEYS[4], '*', 'u', user, 'c', 'erase')
elseif reply[1] == 0 and waits == '1' then
    -- Erased before, but perhaps not yet on the replicas. WAIT covers only writes of the same connection, so this writes
    -- something that leaves no trace.
    redis.call('SET', KEYS[1], '')
    redis.call('DEL', KEYS[1])
end
return {reply[1], outgoing, incoming}
