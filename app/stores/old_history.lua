-- Reads a user whose history was stored before format 2: whole events in a second value, entries with whole seconds.
--
-- items   version u64 | leading trimmed entries u32 | bytes of an entry u32 | entries: item key 8 bytes, seconds u32
-- events  watermark i64 | last time i64 | trimmed u32 | retained u32 | offset of the first retained record u32 | records
-- seen    identities of 8 bytes of trimmed events
--
-- Returns the state as history.lua reads it from the new values, and the retained records, which go to the event log.
-- Item keys are only in `items`, so values that do not match give an empty history; its version never decreases.
local OLD_ITEMS_HEAD, OLD_EVENTS_HEAD, OLD_ID = 16, 28, 8

local function convert_old_history(items, events, trimmed_ids)
    local version, items_trimmed, entry_bytes = unpack('<I8I4I4', items)
    local state = {version = version, retained = 0, used = 0, last = NONE, mark = NONE, slots = 0}
    if not events or #events < OLD_EVENTS_HEAD then
        return state, ''
    end
    local mark, last, trimmed, retained, first = unpack('<i8i8I4I4I4', events)
    local records = sub(events, first + 1)
    if entry_bytes ~= SLOT or #items ~= OLD_ITEMS_HEAD + SLOT * (trimmed + retained) or items_trimmed ~= trimmed then
        return state, records
    end
    local entries, ids, at, count, before = {}, {}, 1, 0, nil
    for from = 1, #trimmed_ids - OLD_ID + 1, OLD_ID do
        ids[#ids + 1] = shorten_id(sub(trimmed_ids, from, from + OLD_ID - 1), 1)
    end
    local has_ids = #ids > 0
    while at <= #records do
        local time, id, flags, tail, after = unpack('<i8c8BH', records, at)
        local from = OLD_ITEMS_HEAD + SLOT * (trimmed + count) + 1
        count, at = count + 1, after + tail
        entries[count] = encode_entry(sub(items, from, from + 7), time, before)
        ids[#ids + 1] = shorten_id(id, flags)
        has_ids, before = has_ids or flags % 2 == 1, time
    end
    assert(count == retained and at == #records + 1, 'the stored history is damaged')
    state.mark, state.last, state.retained = mark, before or NONE, retained
    state.items = rep('\0', HEAD) .. table.concat(entries)
    state.used = (#state.items - HEAD) / SLOT
    if has_ids then
        state.slots, state.seen = #ids, SEEN_FORMAT .. table.concat(ids)
    end
    return state, records
end

