-- The last part of the script that newest_event.lua begins: events that are not simply appended.
local function encode_header()
    return pack(HEADER, version, retained, used, FORMAT, forgets, start, capacity, ids, last, first, mark)
end

local function read_seen()
    seen = call('GET', seen_key)
    if not seen or sub(seen, 1, 1) ~= SEEN_FORMAT or #seen < SEEN_HEAD + ID * ids then
        seen, ids, forgets = nil, 0, 1 -- the identities have expired
    end
end

-- The identity of an event while none is stored.
local function get_default_id()
    return forgets == 1 and FORGOTTEN or NO_ID
end

-- Returns for a call that stores nothing. Its events may have been stored by an earlier call whose write has not reached
-- the replicas. WAIT covers only writes of the same connection, so this repeats a write that changes nothing.
local function return_unchanged(codes)
    if waits == '1' and head ~= '' then
        call('SETRANGE', items_key, 0, head)
    end
    return {version, codes, 0}
end

-- Returns an error if the log does not take another entry.
local function check_log()
    if log == 'reject' and source == '' and call('XLEN', log_key) >= max_log_entries then
        return redis.error_reply('LOGFULL the event log holds ' .. max_log_entries .. ' entries or more '
            .. '(NEXTUP_EVENT_LOG_MAX_ENTRIES), so no event is accepted; check that the archiver runs')
    end
end

local function log_records(joined)
    call('XADD', log_key, '*', 'u', user, 'r', joined)
end

local function drop_log_entries()
    if log == 'drop' and call('XLEN', log_key) > max_log_entries then
        return call('XTRIM', log_key, 'MAXLEN', '~', max_log_entries)
    end
    return 0
end

-- Cuts identities of trimmed events off if there are too many, and writes `seen` with new room.
local function write_seen(text)
    forgets = 0
    if ids - retained > max_trimmed_ids + limit then
        text = SEEN_FORMAT .. sub(text, SEEN_HEAD + 1 + ID * (ids - retained - max_trimmed_ids))
        ids = retained + max_trimmed_ids
    end
    call('SET', seen_key, pad(text, SEEN_HEAD + ID * plan_capacity(SEEN_HEAD, ID, ids, 2)), 'KEEPTTL')
end

-- Whether an entry at the end, at the time `last`, is the same event; nil if there are too many entries of this time to
-- decide from the end of the value.
local function has_twin_at_end(key, id)
    local from = max(start, used - MAX_TIES)
    local slots = call('GETRANGE', items_key, HEAD + SLOT * from, HEAD + SLOT * used - 1)
    if #slots ~= SLOT * (used - from) then
        return nil
    end
    for back = 1, used - from do
        local other, gap = unpack('<c8I4', slots, #slots - SLOT * back + 1)
        if gap == GAP then
            return false
        end
        local id_at = SEEN_HEAD + ID * (ids - back) + 1
        if other == key and is_twin(id, ids > 0 and sub(seen, id_at, id_at + ID - 1) or get_default_id()) then
            return true
        elseif gap > 0 then
            return false
        end
    end
    if from == start then
        return false
    end
end

-- Appends one event that is the newest, where newest_event.lua does not: a value is full, `seen` begins, or times are
-- equal. Returns nothing if it does not apply.
local function append_newest()
    local time, long_id, flags, tail, after = unpack('<i8c8BH', records)
    if time < last or time <= mark or after + tail ~= #records + 1 then
        return
    end
    local id = shorten_id(long_id, flags)
    if ids > 0 then
        read_seen()
        if seen and id ~= NO_ID and find_id(seen, id) then
            return return_unchanged('d')
        end
    end
    if time == last then
        local has_twin = has_twin_at_end(keys, id)
        if has_twin == nil then
            return
        elseif has_twin then
            return return_unchanged('d')
        end
    end
    local next_gap
    if retained == limit then
        local next_slot = call('GETRANGE', items_key, HEAD + SLOT * (start + 1), HEAD + SLOT * (start + 2) - 1)
        next_gap = retained > 1 and #next_slot == SLOT and unpack('<I4', next_slot, KEY + 1)
        if not next_gap or next_gap == GAP then
            return
        end
    end
    local refusal = check_log()
    if refusal then
        return refusal
    end
    local entry, before, from = encode_entry(keys, time, last), ids, used
    local old_retained, grows = retained, used + #entry / SLOT > capacity
    if grows then
        items = call('GET', items_key)
        assert(#items == HEAD + SLOT * capacity, 'the stored history is damaged')
    end
    if log ~= 'off' then
        log_records(records)
    end
    version, last, used = version + 1, time, used + #entry / SLOT
    if next_gap then
        mark, first, start = first, first + next_gap, start + 1
    else
        retained = retained + 1
    end
    if id ~= NO_ID and ids == 0 then
        ids = old_retained + 1
        write_seen(SEEN_FORMAT .. rep(get_default_id(), old_retained) .. id)
    elseif ids > 0 then
        ids = ids + 1
        if #seen < SEEN_HEAD + ID * ids or ids - retained > max_trimmed_ids + limit then
            write_seen(sub(seen, 1, SEEN_HEAD + ID * before) .. id)
        elseif id ~= NO_ID then
            call('SETRANGE', seen_key, SEEN_HEAD + ID * before, id)
        end
    end
    if grows then
        local slots = sub(items, HEAD + SLOT * start + 1, HEAD + SLOT * from) .. entry
        used, start = used - start, 0
        capacity = plan_capacity(HEAD, SLOT, used, retained < limit and 2 or floor(used / 16))
        call('SET', items_key, pad(encode_header() .. slots, HEAD + SLOT * capacity), 'KEEPTTL')
    else
        call('SETRANGE', items_key, HEAD + SLOT * from, entry)
        call('SETRANGE', items_key, 0, encode_header())
    end
    renew(items_key, lifetime)
    if id ~= NO_ID then
        renew(seen_key, ids_lifetime)
    end
    return {version - 1, 's', drop_log_entries()}
end

if format == FORMAT and #keys == KEY and #records >= 19 and retained > 0 and retained <= limit and source == '' then
    local reply = append_newest()
    if reply then
        return reply
    end
end

-- The events of a merge are accepted once, and only while the target holds them (merges.py).
if token then
    local state = call('HGET', KEYS[5], '<' .. token)
    if not state or sub(state, 1, 1) ~= 's' then
        return {state and find(state, '^[af]') and -3 or -2}
    end
end

-- General case: decide event by event, but move bytes only once, in one merge at the end.
if format ~= FORMAT then
    local state
    state, old_records = convert_old_history(
        call('GET', items_key), call('GET', KEYS[4]), call('GET', seen_key) or '')
    version, retained, used, ids = state.version, state.retained, state.used, state.slots
    last, mark, items, seen = state.last, state.mark, state.items, state.seen
    assert(version < 2 ^ 53, 'the stored history is damaged')
elseif head ~= '' then
    items = call('GET', items_key)
    assert(#items == HEAD + SLOT * capacity, 'the stored history is damaged')
    if ids > 0 then
        read_seen()
    end
else -- a new user, or `items` was evicted: what is left identifies trimmed events
    seen = call('GET', seen_key)
    if seen and sub(seen, 1, 1) == SEEN_FORMAT then
        ids = floor((#seen - SEEN_HEAD) / ID)
        while ids > 0 and sub(seen, SEEN_HEAD + ID * (ids - 1) + 1, SEEN_HEAD + ID * ids) == NO_ID do
            ids = ids - 1
        end
    end
end

local key, time, place = {}, {}, {} -- of the retained events; `place` is the first byte of the slot
local old, old_ids = retained, ids
local latest, earlier = {}, {} -- by item key the last event, and by event the one before it of the same item
do
    local t, i = last, retained
    for slot = used, start + 1, -1 do
        local from = HEAD + SLOT * (slot - 1) + 1
        local k, gap = unpack('<c8I4', items, from)
        if gap == GAP then
            t = unpack('<i8', k)
        else
            key[i], time[i], place[i] = k, t, from
            t, i = t - gap, i - 1
        end
    end
    assert(i == 0, 'the stored history is damaged')
    for i = 1, old do
        earlier[i], latest[key[i]] = latest[key[i]], i
    end
end

local function get_old_id(i)
    if old_ids == 0 then
        return get_default_id()
    end
    local from = SEEN_HEAD + ID * (old_ids - old + i - 1) + 1
    return sub(seen, from, from + ID - 1)
end

-- Events that the call adds are numbered after the old ones.
local new, new_from, old_from, stored, has_new_id = old, old + 1, 1, 0, false
local id, new_ids, trimmed_ids = {}, {}, {}
local id_set
if old_ids > 0 and #keys > KEY * 32 then
    id_set = {}
    for from = SEEN_HEAD + 1, SEEN_HEAD + ID * old_ids, ID do
        id_set[sub(seen, from, from + ID - 1)] = true
    end
end

local function is_known_id(i)
    if i == NO_ID or i == FORGOTTEN then
        return false
    end
    return new_ids[i] or (old_ids > 0 and ((id_set and id_set[i]) or (not id_set and find_id(seen, i))))
end

local function has_twin(k, t, short)
    local i = latest[k]
    while i do
        if time[i] == t and (i > old and i >= new_from or i <= old and i >= old_from) then
            if is_twin(short, i > old and id[i] or get_old_id(i)) then
                return true
            end
        end
        i = earlier[i]
    end
end

-- The oldest event of the history is the older of the first old and the first new one that are not trimmed.
local function find_oldest()
    local is_old = old_from <= old and (new_from > new or time[old_from] <= time[new_from])
    return is_old and old_from or new_from
end

local function trim()
    local i = find_oldest()
    trimmed_ids[#trimmed_ids + 1] = i <= old and get_old_id(i) or id[i]
    mark, retained = max(mark, time[i]), retained - 1
    if i <= old then
        old_from = i + 1
    else
        new_from = i + 1
    end
end

while retained > limit do
    trim() -- the limit was lowered
end
local codes, logged, count, at, before = {}, {}, 0, 1, NONE
while at <= #records do
    local t, long_id, flags, tail, after = unpack('<i8c8BH', records, at)
    local k, short, code = sub(keys, KEY * count + 1, KEY * count + KEY), shorten_id(long_id, flags), 's'
    assert(t >= before and #k == KEY, t < before and 'records must come in event-time order' or 'records and keys differ')
    if is_known_id(short) or has_twin(k, t, short) then
        code = 'd'
    elseif t <= mark or (retained >= limit and t < time[find_oldest()]) then
        code = 'l' -- or it would be trimmed immediately
    else
        new, stored, retained = new + 1, stored + 1, retained + 1
        key[new], time[new], id[new], earlier[new], latest[k] = k, t, short, latest[k], new
        if short ~= NO_ID then
            new_ids[short], has_new_id = true, true
        end
        if retained > limit then
            trim()
        end
    end
    count, at, before = count + 1, after + tail, t
    codes[count] = code
    if code ~= 'd' then
        logged[#logged + 1] = sub(records, at - tail - 19, at - 1)
    end
end
assert(at == #records + 1 and #keys == KEY * count, 'records and keys differ')
codes = table.concat(codes)
local converts = format ~= FORMAT and (stored > 0 or count == 0)

-- The first writes: the event log.
if source ~= '' then
    logged = {}
    call('HSET', KEYS[5], '<' .. token, 'a' .. source)
elseif (#logged > 0 or converts) and check_log() then
    return check_log()
end
if log ~= 'off' then
    if converts and old_records ~= '' then
        for _, part in ipairs(split_records(old_records, MAX_LOG_BYTES)) do
            log_records(part)
        end
    end
    if #logged > 0 then
        for _, part in ipairs(split_records(table.concat(logged), MAX_LOG_BYTES)) do
            log_records(part)
        end
    end
    if source ~= '' then
        call('XADD', log_key, '*', 'u', user, 'c', 'receive', 'w', source, 't', token)
    end
end
if stored == 0 and not converts then
    if log ~= 'off' and #logged > 0 then
        return {version, codes, drop_log_entries()}
    end
    return return_unchanged(codes)
end

local entry_parts, id_parts, parts, previous = {}, {}, 0, nil
local function put(from, to) -- a run of old events, or one new event
    parts = parts + 1
    entry_parts[parts] = encode_entry(key[from], time[from], previous)
    first = previous and first or time[from]
    if from <= old then
        if to > from then -- the previous event of all but the first is unchanged
            entry_parts[parts] = entry_parts[parts] .. sub(items, place[from] + SLOT, place[to] + SLOT - 1)
        end
        local id_from = SEEN_HEAD + ID * (old_ids - old + from - 1) + 1
        id_parts[parts] = old_ids > 0 and sub(seen, id_from, id_from + ID * (to - from + 1) - 1)
            or rep(get_default_id(), to - from + 1)
    else
        id_parts[parts] = id[from]
    end
    previous = time[to]
end
for n = new_from, new do
    local to = old_from - 1
    while to < old and time[to + 1] <= time[n] do
        to = to + 1
    end
    if to >= old_from then
        put(old_from, to)
        old_from = to + 1
    end
    put(n, n)
end
if old_from <= old then
    put(old_from, old)
end
last, version, start = previous or NONE, version + stored, 0
if old_ids > 0 or has_new_id then
    local trimmed = old_ids > 0 and sub(seen, SEEN_HEAD + 1, SEEN_HEAD + ID * (old_ids - old)) or ''
    local text = trimmed .. table.concat(trimmed_ids) .. table.concat(id_parts)
    ids = #text / ID
    write_seen(SEEN_FORMAT .. text)
    if has_new_id or converts then
        renew(seen_key, ids_lifetime)
    end
end
local slots = table.concat(entry_parts)
used = #slots / SLOT
capacity = plan_capacity(HEAD, SLOT, used, retained < limit and 2 or floor(used / 16))
call('SET', items_key, pad(encode_header() .. slots, HEAD + SLOT * capacity), 'KEEPTTL')
renew(items_key, lifetime)
if converts then
    call('DEL', KEYS[4])
    if ids == 0 then
        call('DEL', seen_key)
    end
end
return {version - stored, codes, drop_log_entries(), converts and old_records or nil}
