-- Returns ids of users from the newest entries of one stream of the event log, without the events.
-- KEYS  event log
-- ARGV  id in front of which it reads, in the form of XREVRANGE; most entries
-- Returns {number of entries, id of the oldest one}, followed by user id and id of the newest entry of each user
local entries = redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])
local reply, listed = {#entries, #entries > 0 and entries[#entries][1] or ''}, {}
for i = 1, #entries do
    local fields = entries[i][2]
    for j = 1, #fields, 2 do
        if fields[j] == 'u' and not listed[fields[j + 1]] then
            listed[fields[j + 1]] = true
            reply[#reply + 1] = fields[j + 1]
            reply[#reply + 1] = entries[i][1]
        end
    end
end
return reply
