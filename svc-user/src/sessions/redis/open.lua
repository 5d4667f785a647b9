-- Keeps a new session, in the place of those that have expired, and of the oldest where there are too many.
-- KEYS: the sessions of a user, a hash: session → "renewed_at_ms expires_at_ms token former_token".
-- ARGV: 1 the session, 2 its token, 3 now_ms, 4 expires_at_ms, 5 how long Redis keeps it in milliseconds,
--       6 how many sessions a user may have.
local kept, gone = {}, {}
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
    local renewed, expires = string.match(fields[at + 1], '^(-?%d+) (-?%d+) ')
    if tonumber(expires) <= tonumber(ARGV[3]) then
        table.insert(gone, fields[at])
    else
        table.insert(kept, {id = fields[at], renewed = tonumber(renewed)})
    end
end
table.sort(kept, function(one, other)
    if one.renewed ~= other.renewed then
        return one.renewed < other.renewed
    end
    return one.id < other.id
end)
for at = 1, #kept - tonumber(ARGV[6]) + 1 do
    table.insert(gone, kept[at].id)
end
local kept_for = redis.call('PTTL', KEYS[1])

for _, id in ipairs(gone) do
    redis.call('HDEL', KEYS[1], id)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[2] .. ' -')
if kept_for < tonumber(ARGV[5]) then
    kept_for = ARGV[5]
end
-- Again where it has not grown: deleting the last field took the key away, and its end with it.
redis.call('PEXPIRE', KEYS[1], kept_for)
return false
