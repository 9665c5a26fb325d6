-- Functions of history.lua on the values of a user.
-- Returns how many places of `width` bytes fit behind `head` bytes if there is room for `count` and `spare` more. The
-- value fills a size class of jemalloc (four per doubling), because Redis allocates as much anyway.
local function plan_capacity(head, width, count, spare)
    local bytes = head + width * (count + max(2, spare))
    local overhead = bytes < 65000 and 6 or 10 -- of a Redis string
    local step = 16
    if bytes + overhead > 128 then
        local class = 128
        while 2 * class < bytes + overhead do
            class = 2 * class
        end
        step = class / 4
    end
    return floor((math.ceil((bytes + overhead) / step) * step - overhead - head) / width)
end

local function pad(text, size)
    return text .. rep('\0', size - #text)
end

-- Returns the bytes of an entry, with a gap in front if the previous event is too old. The first entry has no previous.
local function encode_entry(key, time, previous)
    if not previous then
        return key .. '\0\0\0\0'
    elseif time - previous >= GAP then
        return pack('<i8I4', previous, GAP) .. key .. '\0\0\0\0'
    end
    return key .. pack('<I4', time - previous)
end

-- Returns the identity of a record in 5 bytes, NO_ID or FORGOTTEN.
local function shorten_id(id, flags)
    if flags >= IS_FORGOTTEN then
        return FORGOTTEN
    elseif flags % 2 ~= HAS_EVENT_ID then
        return NO_ID
    end
    local short = sub(id, 1, ID)
    return (short == NO_ID or short == FORGOTTEN) and '\0\0\0\0\1' or short
end

-- Whether an event is the same as one of the same item and time that has another identity, or none.
local function is_twin(id, other)
    return other == FORGOTTEN or (other == NO_ID and (id == NO_ID or id == FORGOTTEN))
end

local function find_id(seen, id)
    local at = find(seen, id, SEEN_HEAD + 1, true)
    while at and (at - SEEN_HEAD) % ID ~= 1 do
        at = find(seen, id, at + 1, true)
    end
    return at
end

-- Sets the lifetime of a key (0 = none) if the remaining one differs by more than 1 %, which saves a write per event.
local function renew(key, lifetime)
    local remaining = call('PTTL', key)
    if lifetime == 0 then
        if remaining >= 0 then
            call('PERSIST', key)
        end
    elseif remaining < 0.99 * lifetime or remaining > 1.01 * lifetime then
        call('PEXPIRE', key, lifetime)
    end
end

-- Splits joined records (records.py) into strings of whole records of at most `max_bytes`, or one record if it is longer.
local function split_records(records, max_bytes)
    if #records <= max_bytes then
        return {records}
    end
    local parts, from, at = {}, 1, 1
    while at <= #records do
        local _, _, _, tail, after = unpack('<i8c8BH', records, at)
        local to = after + tail
        if to - from > max_bytes and at > from then
            parts[#parts + 1] = sub(records, from, at - 1)
            from = at
        end
        at = to
    end
    parts[#parts + 1] = sub(records, from)
    return parts
end

