-- Remembers when items were shown to a user, and clicked. impression_marks.lua is in front.
-- KEYS  impressions of the user: a sorted set of marks (impressions.py) by the time of the last one, Unix seconds
-- ARGV  lifetime in ms, most marks, oldest time that counts, then pairs of time and mark
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[3])
add_marks(KEYS[1], tonumber(ARGV[2]), 4)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
