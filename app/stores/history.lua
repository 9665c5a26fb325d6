-- Appends events of ONE user to their history, in one atomic step. Knows the fixed fields of a record (records.py),
-- not what stands in its rest, and of an entry (entries.py) its size alone. Everything is read and decided first and
-- written last, so an error changes nothing.
--
-- KEYS  items, events, seen            ARGV  max events, lifetime ms (0 = none), lifetime of seen ms,
--                                            entries (12 bytes each), records in event-time order,
--                                            1 if the caller waits for replicas, else 0
-- Returns the version before the call and one letter per event: s(tored), d(uplicate), l(ate).
-- The version after an event is the version before plus the s up to it.
--
-- Why two values: `items` is all that a recommendation reads, and a batch of users is one MGET of small strings.
-- Why append and trim late: rewriting a full history per event would put some 30 KB per event into the append-only
-- file. So the oldest events die in place (the headers count them) and are cut off when an eighth is dead.
local NONE = -4611686018427387904 -- -2^62, no watermark: older than any time
local HEAD, RECORD, ENTRY = 28, 19, 12
local limit, lifetime, seen_lifetime = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local entries, records = ARGV[4], ARGV[5]
local unpack, pack, find, sub = struct.unpack, struct.pack, string.find, string.sub
local slack, seen_limit = math.floor(limit / 8) + 1, 4 * limit

-- What is stored.
local version, dead, live, mark, last, first = 0, 0, 0, NONE, NONE, HEAD
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
local events = redis.call('GET', KEYS[2])
local items_size = redis.call('STRLEN', KEYS[1])
if items_size >= 16 then
    version, dead = unpack('<I8I4', head)
end
if events and #events >= HEAD then
    mark, last, dead, live, first = unpack('<i8i8I4I4I4', events)
end
if not events or items_size ~= 16 + ENTRY * (dead + live) then
    -- New, or entries of another size, or one of the two was evicted and neither can be rebuilt from the other: begin,
    -- but never go back a version.
    dead, live, mark, last, first, events = 0, 0, NONE, NONE, HEAD, nil
end

local function items_header()
    return pack('<I8I4I4', version, dead, ENTRY)
end
local function header()
    return pack('<i8i8I4I4I4', mark, last, dead, live, first)
end

-- Nothing new. What is there may not have reached the replicas when it was sent before, and WAIT is for what this very
-- connection has written: a write that changes nothing.
local function nothing_new(codes)
    if ARGV[6] == '1' and items_size >= 16 then
        redis.call('SETRANGE', KEYS[1], 0, head)
    end
    return {version, codes}
end

local seen, seen_set -- read only when an event_id asks for it; indexed only when many ask
local function in_seen(id)
    if not seen then
        seen = redis.call('GET', KEYS[3]) or ''
        if #entries > ENTRY * 32 then
            seen_set = {}
            for at = 1, #seen, 8 do
                seen_set[sub(seen, at, at + 7)] = true
            end
        end
    end
    if seen_set then
        return seen_set[id]
    end
    local at = find(seen, id, 1, true)
    while at and at % 8 ~= 1 do
        at = find(seen, id, at + 1, true)
    end
    return at
end

local function retained(id)
    if not find(events, id, first + 1, true) then
        return false -- the common case; a hit may lie across fields and is looked at closely
    end
    local at, size = first + 1, #events
    while at <= size do
        local _, other, _, rest, after = unpack('<i8c8BH', events, at)
        if other == id then
            return true
        end
        at = after + rest
    end
    return false
end

local function finish(gone)
    if gone ~= '' then
        local size = redis.call('APPEND', KEYS[3], gone)
        if size > 8 * (seen_limit + limit) then
            redis.call('SET', KEYS[3], redis.call('GETRANGE', KEYS[3], -8 * seen_limit, -1))
        end
        redis.call('PEXPIRE', KEYS[3], seen_lifetime)
    end
    for i = 1, 2 do
        if lifetime > 0 then
            redis.call('PEXPIRE', KEYS[i], lifetime)
        else
            redis.call('PERSIST', KEYS[i])
        end
    end
end

-- One event, the newest: what almost every call is.
if #entries == ENTRY and events and live > 0 and live <= limit then
    local time, id, flags, rest, after = unpack('<i8c8BH', records)
    if time >= last and time > mark and after + rest == #records + 1 then
        if retained(id) or (flags % 2 == 1 and in_seen(id)) then
            return nothing_new('d')
        end
        local gone = ''
        version, last, live = version + 1, time, live + 1
        if live > limit then
            local old_time, old_id, old_flags, old_rest, old_after = unpack('<i8c8BH', events, first + 1)
            mark, dead, live, first = math.max(mark, old_time), dead + 1, limit, old_after + old_rest - 1
            gone = old_flags % 2 == 1 and old_id or ''
        end
        if dead > slack then
            local alive, kept = sub(events, first + 1), redis.call('GETRANGE', KEYS[1], 16 + ENTRY * dead, -1)
            dead, first = 0, HEAD
            redis.call('SET', KEYS[1], items_header() .. kept .. entries)
            redis.call('SET', KEYS[2], header() .. alive .. records)
        else
            redis.call('SETRANGE', KEYS[1], 0, items_header())
            redis.call('APPEND', KEYS[1], entries)
            redis.call('SETRANGE', KEYS[2], 0, header())
            redis.call('APPEND', KEYS[2], records)
        end
        finish(gone)
        return {version - 1, 's'}
    end
end

-- Anything else: take the events one after the other, but move bytes only once, in one merge at the end.
local time, id, flags, offset, known = {}, {}, {}, {}, {} -- of what is retained
if events then
    local at, size, n = first + 1, #events, 0
    while at <= size do
        n = n + 1
        local rest, after
        offset[n] = at
        time[n], id[n], flags[n], rest, after = unpack('<i8c8BH', events, at)
        known[id[n]] = true
        at = after + rest
    end
    assert(n == live and at == size + 1, 'the stored history is damaged')
    offset[n + 1] = at
end
local new_time, new_id, new_flags, new_from, new_to, new_entry = {}, {}, {}, {}, {}, {} -- of what is accepted
local old, old_from, new, new_from_index = live, 1, 0, 1 -- the front of a history is the older of two fronts
local gone, gone_now, codes, stored = {}, {}, {}, 0

local function front_is_old()
    return old_from <= old and (new_from_index > new or time[old_from] <= new_time[new_from_index])
end

local function trim()
    local t, i, f
    if front_is_old() then
        t, i, f = time[old_from], id[old_from], flags[old_from]
        old_from = old_from + 1
    else
        t, i, f = new_time[new_from_index], new_id[new_from_index], new_flags[new_from_index]
        new_from_index = new_from_index + 1
    end
    mark, live, known[i] = math.max(mark, t), live - 1, nil
    if f % 2 == 1 then
        gone[#gone + 1], gone_now[i] = i, true
    end
end

while live > limit do
    trim() -- the limit was lowered
end
local at, size, count, before = 1, #records, 0, NONE
while at <= size do
    local t, i, f, rest, after = unpack('<i8c8BH', records, at)
    local code = 's'
    count = count + 1
    assert(t >= before, 'records must come in event-time order')
    if known[i] or (f % 2 == 1 and (gone_now[i] or in_seen(i))) then
        code = 'd'
    elseif t <= mark then
        code = 'l'
    elseif live >= limit then
        local front = front_is_old() and time[old_from] or new_time[new_from_index]
        if t < front then
            code = 'l' -- it would be trimmed at once
        end
    end
    if code == 's' then
        new, stored, live, known[i] = new + 1, stored + 1, live + 1, true
        new_time[new], new_id[new], new_flags[new] = t, i, f
        new_from[new], new_to[new], new_entry[new] = at, after + rest - 1, ENTRY * (count - 1) + 1
        if live > limit then
            trim()
        end
    end
    codes[count], before, at = code, t, after + rest
end
assert(at == size + 1 and #entries == ENTRY * count, 'records and entries do not match')
if stored == 0 then
    return nothing_new(table.concat(codes))
end

local entry_parts, event_parts, parts = {}, {}, 0
local old_entries = events and sub(redis.call('GET', KEYS[1]), 17 + ENTRY * dead) or ''
local function put_old(to) -- a run of retained events, up to and with `to`
    if to >= old_from then
        parts = parts + 1
        entry_parts[parts] = sub(old_entries, ENTRY * (old_from - 1) + 1, ENTRY * to)
        event_parts[parts] = sub(events, offset[old_from], offset[to + 1] - 1)
        old_from = to + 1
    end
end
local upto = old_from - 1
for n = new_from_index, new do
    while upto < old and time[upto + 1] <= new_time[n] do
        upto = upto + 1
    end
    put_old(upto)
    parts = parts + 1
    entry_parts[parts] = sub(entries, new_entry[n], new_entry[n] + ENTRY - 1)
    event_parts[parts] = sub(records, new_from[n], new_to[n])
end
last = math.max(last, new_time[new])
put_old(old)
version, dead, first = version + stored, 0, HEAD
redis.call('SET', KEYS[1], items_header() .. table.concat(entry_parts))
redis.call('SET', KEYS[2], header() .. table.concat(event_parts))
finish(table.concat(gone))
return {version - stored, table.concat(codes)}
