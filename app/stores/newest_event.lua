-- Appends events of ONE user to their history and to the event log, in one atomic step. All reads and decisions come
-- before the first write, so an error changes nothing. This is the first of four parts of one script: it handles one
-- event that is newer than all others and has room, as in almost every call. It defines no function, because creating
-- one per call would cost as much as a command. history_values.lua, old_history.lua and history.lua follow.
--
-- KEYS  items, seen, event log; for a user in the old format also events, after a reply {-1}; for a merge also merges
-- ARGV  max events, lifetime ms (0 = none), lifetime of identities ms, max identities of trimmed events,
--       event log (off, reject, drop), max entries of the event log, 1 if the caller waits for replicas, else 0, user id,
--       item keys (8 bytes each), records in event-time order (records.py), and for a merge its source and a token
-- Returns the version before the call, one letter per event, s(tored), d(uplicate) or l(ate), the number of log entries
-- that were dropped, and the records of a user in the old format, whom a call without events only converts; for a merge
-- {-2} if it was cancelled, {-3} if its events are here already.
-- The version after an event is the version before the call plus the number of s up to it.
--
-- Layout of the values (docs/architecture/history-store.md):
-- items  header of 46 bytes, then slots of 12 bytes and zeros up to the capacity. A slot is an entry (item key, time
--        since the previous event) or a gap in front of an entry: the time of the previous event, and GAP.
-- seen   one byte, then identities of 5 bytes, one per event, the last ones those of the retained events, and zeros. An
--        event has NO_ID if it came without an event_id, and FORGOTTEN if its identity has expired.
local FORMAT, HEAD, SLOT, GAP = 2, 46, 12, 4294967295
local SEEN_FORMAT, SEEN_HEAD, ID = '\2', 1, 5
local NO_ID, FORGOTTEN = '\0\0\0\0\0', '\255\255\255\255\255'
local HAS_EVENT_ID, IS_FORGOTTEN = 1, 128 -- flags of a record (records.py, snapshot.py)
local NONE = -4611686018427387904 -- -2^62, no watermark: older than any time
local HEADER = '<I8I2I2BBI2I2I4i8i8i8'
local unpack, pack, find, sub, rep = struct.unpack, struct.pack, string.find, string.sub, string.rep
local call, max, floor = redis.call, math.max, math.floor

local limit, lifetime, ids_lifetime = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local max_trimmed_ids, max_log_entries = tonumber(ARGV[4]), tonumber(ARGV[6])
local log, waits, user, keys, records, source, token =
    ARGV[5], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11] or '', ARGV[12]
local items_key, seen_key, log_key = KEYS[1], KEYS[2], KEYS[3]
local MAX_LOG_BYTES, MAX_TIES, KEY = 65536, 16, 8

-- The stored state: `used` slots, of which the first `start` are trimmed; `ids` identities, or none if they expired.
-- `forgets` is 1 if identities have expired and none is stored since: the events may have had one.
local version, retained, used, format, forgets, start, capacity, ids = 0, 0, 0, FORMAT, 0, 0, 0, 0
local last, first, mark = NONE, NONE, NONE
local items, seen, old_records
local head = call('GETRANGE', items_key, 0, HEAD - 1)
if #head == HEAD and string.byte(head, 13) == FORMAT then
    version, retained, used, format, forgets, start, capacity, ids, last, first, mark = unpack(HEADER, head)
    if start + retained > used or used > capacity or version >= 2 ^ 53 then
        error('the stored history is damaged')
    end
elseif head ~= '' then
    assert(#head >= 16, 'the stored history is damaged')
    if not KEYS[4] then
        return {-1}
    end
    format = 0
end

if format == FORMAT and #keys == KEY and #records >= 19 and retained > 0 and retained <= limit and source == '' then
    local time, id, flags, tail, after = unpack('<i8c8BH', records)
    local gap, next_gap, applies = time - last, false, used < capacity
    id = flags % 2 == HAS_EVENT_ID and sub(id, 1, ID) or NO_ID
    if gap <= 0 or gap >= GAP or time <= mark or after + tail ~= #records + 1 or (id == NO_ID and flags % 2 == 1) then
        applies = false
    elseif applies and retained == limit then
        local next_slot = call('GETRANGE', items_key, HEAD + SLOT * (start + 1), HEAD + SLOT * (start + 2) - 1)
        next_gap = retained > 1 and #next_slot == SLOT and unpack('<I4', next_slot, KEY + 1)
        applies = next_gap and next_gap ~= GAP
    end
    if applies and (id ~= NO_ID or ids > 0) then
        seen = call('GET', seen_key)
        if ids == 0 or not seen or #seen < SEEN_HEAD + ID * (ids + 1) or id == FORGOTTEN
            or ids - retained >= max_trimmed_ids + limit then
            applies = false
        elseif id ~= NO_ID then
            local at = find(seen, id, SEEN_HEAD + 1, true)
            while at and (at - SEEN_HEAD) % ID ~= 1 do
                at = find(seen, id, at + 1, true)
            end
            if at then
                if waits == '1' then
                    call('SETRANGE', items_key, 0, head)
                end
                return {version, 'd', 0}
            end
        end
    end
    if applies and log == 'reject' and call('XLEN', log_key) >= max_log_entries then
        applies = false -- history.lua returns the error
    end
    if applies then
        local dropped = 0
        if log ~= 'off' then
            call('XADD', log_key, '*', 'u', user, 'r', records)
            if log == 'drop' and call('XLEN', log_key) > max_log_entries then
                dropped = call('XTRIM', log_key, 'MAXLEN', '~', max_log_entries)
            end
        end
        if id ~= NO_ID then
            call('SETRANGE', seen_key, SEEN_HEAD + ID * ids, id)
            local remaining = call('PTTL', seen_key)
            if remaining < 0.99 * ids_lifetime or remaining > 1.01 * ids_lifetime then
                call('PEXPIRE', seen_key, ids_lifetime)
            end
        end
        if ids > 0 then
            ids = ids + 1
        end
        if next_gap then
            mark, first, start = first, first + next_gap, start + 1
        else
            retained = retained + 1
        end
        call('SETRANGE', items_key, HEAD + SLOT * used, keys .. pack('<I4', gap))
        call('SETRANGE', items_key, 0, pack(
            HEADER, version + 1, retained, used + 1, FORMAT, forgets, start, capacity, ids, time, first, mark))
        local remaining = call('PTTL', items_key)
        if lifetime == 0 then
            if remaining >= 0 then
                call('PERSIST', items_key)
            end
        elseif remaining < 0.99 * lifetime or remaining > 1.01 * lifetime then
            call('PEXPIRE', items_key, lifetime)
        end
        return {version, 's', dropped}
    end
end

