-- Remembers what was counted of one recommendation.
-- KEYS: the set of the recommendation. ARGV: lifetime in ms, most members, marks.
-- Returns the positions, from 0, of the marks that were not in the set and are now.
local added = {}
local size = redis.call('SCARD', KEYS[1])
local is_new = size == 0
for index = 3, #ARGV do
  if size < tonumber(ARGV[2]) and redis.call('SADD', KEYS[1], ARGV[index]) == 1 then
    size = size + 1
    added[#added + 1] = index - 3
  end
end
if is_new and #added > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return added
