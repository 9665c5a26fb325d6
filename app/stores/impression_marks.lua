-- First part of the scripts that add marks to the impressions of a user.
-- Adds pairs of time and mark from ARGV[first] on; at most `most` marks remain, those with the latest times. A set that
-- had more for a moment would leave the compact encoding of Redis for good.
local function add_marks(key, most, first)
    local size = redis.call('ZCARD', key)
    for i = first, #ARGV, 2 do
        local time, mark = ARGV[i], ARGV[i + 1]
        local is_added = size < most or redis.call('ZSCORE', key, mark)
        if not is_added then
            local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
            if tonumber(oldest[2]) < tonumber(time) then
                redis.call('ZREM', key, oldest[1])
                size, is_added = size - 1, true
            end
        end
        if is_added then
            size = size + redis.call('ZADD', key, 'GT', time, mark)
        end
    end
end

