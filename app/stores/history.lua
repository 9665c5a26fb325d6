-- Appends events of ONE user to their history, in one atomic step. Reads the fixed fields of a record (records.py) and
-- the size of an entry (entries.py), not the tail of a record. All reads and decisions come before the first write, so
-- an error changes nothing.
--
-- KEYS  items, events, trimmed ids
-- ARGV  max events, lifetime ms (0 = none), lifetime of trimmed ids ms, max trimmed, max trimmed ids (keys.py),
--       entries (12 bytes each), records in event-time order, 1 if the caller waits for replicas, else 0
-- Returns the version before the call and one letter per event: s(tored), d(uplicate), l(ate).
-- The version after an event is the version before the call plus the number of s up to it.
--
-- Why two values: `items` is all that a recommendation reads, so a batch of users is one MGET of small strings.
-- Why append in place and cut off later: rewriting a full history per event would write some 30 KB per event to the
-- append-only file. So the oldest events stay as trimmed (the headers count them) until an eighth of the value is.
local NONE = -4611686018427387904 -- -2^62, no watermark: older than any time
local HEAD, RECORD, ENTRY = 28, 19, 12
local limit, lifetime, trimmed_ids_lifetime = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local max_trimmed, max_trimmed_ids = tonumber(ARGV[4]), tonumber(ARGV[5])
local entries, records, waits = ARGV[6], ARGV[7], ARGV[8]
local unpack, pack, find, sub = struct.unpack, struct.pack, string.find, string.sub

-- The stored state.
local version, trimmed, retained, mark, last, first = 0, 0, 0, NONE, NONE, HEAD
local head = redis.call('GETRANGE', KEYS[1], 0, 15)
local events = redis.call('GET', KEYS[2])
local items_size = redis.call('STRLEN', KEYS[1])
if items_size >= 16 then
    version, trimmed = unpack('<I8I4', head)
end
if events and #events >= HEAD then
    mark, last, trimmed, retained, first = unpack('<i8i8I4I4I4', events)
end
if not events or items_size ~= 16 + ENTRY * (trimmed + retained) then
    -- A new user, entries of another size, or one of the two values was evicted and cannot be rebuilt from the other:
    -- start with an empty history, but never go back a version.
    trimmed, retained, mark, last, first, events = 0, 0, NONE, NONE, HEAD, nil
end

local function items_header()
    return pack('<I8I4I4', version, trimmed, ENTRY)
end
local function events_header()
    return pack('<i8i8I4I4I4', mark, last, trimmed, retained, first)
end

-- Returns for a call that stores nothing. Its events may have been stored by an earlier call whose write has not reached
-- the replicas. WAIT covers only writes of the same connection, so this repeats a write that changes nothing.
local function return_unchanged(codes)
    if waits == '1' and items_size >= 16 then
        redis.call('SETRANGE', KEYS[1], 0, head)
    end
    return {version, codes}
end

local trimmed_ids, trimmed_id_set -- read only if an event has an event_id; indexed only for many events
local function is_trimmed(id)
    if not trimmed_ids then
        trimmed_ids = redis.call('GET', KEYS[3]) or ''
        if #entries > ENTRY * 32 then
            trimmed_id_set = {}
            for at = 1, #trimmed_ids, 8 do
                trimmed_id_set[sub(trimmed_ids, at, at + 7)] = true
            end
        end
    end
    if trimmed_id_set then
        return trimmed_id_set[id]
    end
    local at = find(trimmed_ids, id, 1, true)
    while at and at % 8 ~= 1 do
        at = find(trimmed_ids, id, at + 1, true)
    end
    return at
end

local function is_retained(id)
    if not find(events, id, first + 1, true) then
        return false -- the common case; a match may span fields, so it is checked record by record
    end
    local at, size = first + 1, #events
    while at <= size do
        local _, record_id, _, tail, after = unpack('<i8c8BH', events, at)
        if record_id == id then
            return true
        end
        at = after + tail
    end
    return false
end

local function finish(new_trimmed_ids)
    if new_trimmed_ids ~= '' then
        local size = redis.call('APPEND', KEYS[3], new_trimmed_ids)
        if size > 8 * (max_trimmed_ids + limit) then
            redis.call('SET', KEYS[3], redis.call('GETRANGE', KEYS[3], -8 * max_trimmed_ids, -1))
        end
        redis.call('PEXPIRE', KEYS[3], trimmed_ids_lifetime)
    end
    for i = 1, 2 do
        if lifetime > 0 then
            redis.call('PEXPIRE', KEYS[i], lifetime)
        else
            redis.call('PERSIST', KEYS[i])
        end
    end
end

-- Fast path: one event that is the newest, as in almost every call.
if #entries == ENTRY and #records >= RECORD and events and retained > 0 and retained <= limit then
    local time, id, flags, tail, after = unpack('<i8c8BH', records)
    if time >= last and time > mark and after + tail == #records + 1 then
        if is_retained(id) or (flags % 2 == 1 and is_trimmed(id)) then
            return return_unchanged('d')
        end
        local new_trimmed_id = ''
        version, last, retained = version + 1, time, retained + 1
        if retained > limit then
            local old_time, old_id, old_flags, old_tail, old_after = unpack('<i8c8BH', events, first + 1)
            mark, trimmed, retained, first = math.max(mark, old_time), trimmed + 1, limit, old_after + old_tail - 1
            new_trimmed_id = old_flags % 2 == 1 and old_id or ''
        end
        if trimmed > max_trimmed then
            local old_records = sub(events, first + 1)
            local old_entries = redis.call('GETRANGE', KEYS[1], 16 + ENTRY * trimmed, -1)
            trimmed, first = 0, HEAD
            redis.call('SET', KEYS[1], items_header() .. old_entries .. entries)
            redis.call('SET', KEYS[2], events_header() .. old_records .. records)
        else
            redis.call('SETRANGE', KEYS[1], 0, items_header())
            redis.call('APPEND', KEYS[1], entries)
            redis.call('SETRANGE', KEYS[2], 0, events_header())
            redis.call('APPEND', KEYS[2], records)
        end
        finish(new_trimmed_id)
        return {version - 1, 's'}
    end
end

-- General case: decide event by event, but move bytes only once, in one merge at the end.
local time, id, flags, offset, known = {}, {}, {}, {}, {} -- of the retained events
if events then
    local at, size, n = first + 1, #events, 0
    while at <= size do
        n = n + 1
        local tail, after
        offset[n] = at
        time[n], id[n], flags[n], tail, after = unpack('<i8c8BH', events, at)
        known[id[n]] = true
        at = after + tail
    end
    assert(n == retained and at == size + 1, 'the stored history is damaged')
    offset[n + 1] = at
end
local new_time, new_id, new_flags, new_from, new_to, new_entry = {}, {}, {}, {}, {}, {} -- of the accepted events
-- The oldest event of the history is the older of the first old and the first new one that are not trimmed.
local old, old_from, new, new_from_index = retained, 1, 0, 1
local new_trimmed_ids, trimmed_now, codes, stored = {}, {}, {}, 0

local function oldest_is_old()
    return old_from <= old and (new_from_index > new or time[old_from] <= new_time[new_from_index])
end

local function trim()
    local t, i, f
    if oldest_is_old() then
        t, i, f = time[old_from], id[old_from], flags[old_from]
        old_from = old_from + 1
    else
        t, i, f = new_time[new_from_index], new_id[new_from_index], new_flags[new_from_index]
        new_from_index = new_from_index + 1
    end
    mark, retained, known[i] = math.max(mark, t), retained - 1, nil
    if f % 2 == 1 then
        new_trimmed_ids[#new_trimmed_ids + 1], trimmed_now[i] = i, true
    end
end

while retained > limit do
    trim() -- the limit was lowered
end
local at, size, count, before = 1, #records, 0, NONE
while at <= size do
    local t, i, f, tail, after = unpack('<i8c8BH', records, at)
    local code = 's'
    count = count + 1
    assert(t >= before, 'records must come in event-time order')
    if known[i] or (f % 2 == 1 and (trimmed_now[i] or is_trimmed(i))) then
        code = 'd'
    elseif t <= mark then
        code = 'l'
    elseif retained >= limit then
        local oldest = oldest_is_old() and time[old_from] or new_time[new_from_index]
        if t < oldest then
            code = 'l' -- it would be trimmed immediately
        end
    end
    if code == 's' then
        new, stored, retained, known[i] = new + 1, stored + 1, retained + 1, true
        new_time[new], new_id[new], new_flags[new] = t, i, f
        new_from[new], new_to[new], new_entry[new] = at, after + tail - 1, ENTRY * (count - 1) + 1
        if retained > limit then
            trim()
        end
    end
    codes[count], before, at = code, t, after + tail
end
assert(at == size + 1 and #entries == ENTRY * count, 'records and entries do not match')
if stored == 0 then
    return return_unchanged(table.concat(codes))
end

local entry_parts, event_parts, parts = {}, {}, 0
local old_entries = events and sub(redis.call('GET', KEYS[1]), 17 + ENTRY * trimmed) or ''
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
version, trimmed, first = version + stored, 0, HEAD
redis.call('SET', KEYS[1], items_header() .. table.concat(entry_parts))
redis.call('SET', KEYS[2], events_header() .. table.concat(event_parts))
finish(table.concat(new_trimmed_ids))
return {version - stored, table.concat(codes)}
