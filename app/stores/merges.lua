-- One step of a merge, on the value `merges` of ONE of its users. The steps and the fields are described in merges.py.
-- impression_marks.lua is in front.
-- KEYS  merges; for `begin` also items and seen, for `settle` also the event log, for `show` also impressions
-- ARGV  step, token, and further values of the step
local merges, step, token = KEYS[1], ARGV[1], ARGV[2]

local function get(kind)
    return redis.call('HGET', merges, kind .. token)
end

local function put(kind, value)
    redis.call('HSET', merges, kind .. token, value)
    redis.call('PEXPIRE', merges, ARGV[3])
end

if step == 'offer' then -- the target accepts events of the merge
    put('<', '')
    return 1
elseif step == 'begin' then -- returns the values of the source, and token and target of merges that are not settled
    put('>', ARGV[4])
    local reply = {redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3])}
    local fields = redis.call('HGETALL', merges)
    for i = 1, #fields, 2 do
        if string.sub(fields[i], 1, 1) == 'c' then
            reply[#reply + 1] = string.sub(fields[i], 2)
            reply[#reply + 1] = string.match(fields[i + 1], '|(.*)$')
        end
    end
    return reply
elseif step == 'stage' then -- the target holds the events, which are not in its history yet
    local state = get('<')
    if state == false or string.find(state, '^[af]') then
        return 0
    end
    put('<', 's' .. ARGV[4])
    return 1
elseif step == 'read' then
    return get('<')
elseif step == 'cancel' then -- the target does not accept the events any more; returns whether it has them
    local state = get('<')
    if state and string.find(state, '^[af]') then
        return 1
    end
    redis.call('HDEL', merges, '<' .. token)
    return 0
elseif step == 'finish' then -- the merge is answered; the erasure of its source has to see that the events are here
    local state = get('<')
    if state and string.sub(state, 1, 1) == 'a' then
        redis.call('HSET', merges, '<' .. token, 'f' .. string.sub(state, 2))
    end
    return 1
elseif step == 'show' then -- the impressions of the source, if the history of the target has its events
    local state, key, lifetime = get('<'), KEYS[2], tonumber(ARGV[3])
    if not state or not string.find(state, '^[af]') then
        return 0
    end
    add_marks(key, tonumber(ARGV[4]), 5)
    if redis.call('PTTL', key) < lifetime then
        redis.call('PEXPIRE', key, lifetime)
    end
    return 1
elseif step == 'withdraw' then -- removes the registration
    return redis.call('HDEL', merges, ARGV[3] .. token)
end
-- settle: the source gets the entry of the event log that moves its events, or erases them, and forgets the merge.
local kind, control, log, user = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local value = get(kind)
if not value then
    return 0
end
local place, target = string.match(value, '^([^|]*)|(.*)$')
if log ~= 'off' and place ~= '' and control == 'merge' then
    redis.call('XADD', KEYS[2], '*', 'u', user, 'c', 'merge', 'w', target, 't', token, 'a', place)
elseif log ~= 'off' and place ~= '' and control == 'erase' then
    redis.call('XADD', KEYS[2], '*', 'u', user, 'c', 'erase', 'a', place)
end
redis.call('HDEL', merges, kind .. token)
return 1
