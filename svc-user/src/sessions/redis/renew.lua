-- Puts a token's successor in its place, if it is the session's token.
-- KEYS: the sessions of a user, as in open.lua.
-- ARGV: 1 the session, 2 the token, 3 its successor, 4 now_ms, 5 expires_at_ms, 6 how long Redis keeps it in
--       milliseconds, 7 how long the answer is given again in milliseconds.
-- Returns 'new', 'again', 'reused' (then the session has ended), or nothing: there is no such session.
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then
    return false
end
local renewed, expires, token, former = string.match(found, '^(-?%d+) (-?%d+) (%x+) ([%x-]+)$')
local now = tonumber(ARGV[4])
if tonumber(expires) <= now then
    return false
end
if token ~= ARGV[2] then
    if former == ARGV[2] and token == ARGV[3] and now < tonumber(renewed) + tonumber(ARGV[7]) then
        return 'again'
    end
    redis.call('HDEL', KEYS[1], ARGV[1])
    return 'reused'
end
local kept_for = redis.call('PTTL', KEYS[1])

redis.call('HSET', KEYS[1], ARGV[1], ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[3] .. ' ' .. ARGV[2])
if kept_for < tonumber(ARGV[6]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
end
return 'new'
