-- Puts a changed cart in the place of the one that it was made of, if that is still there and the request is new.
-- KEYS: the cart, its requests, their order.
-- ARGV: 1 the version that was changed, 2 version, 3 items, 4 expires_at_ms, 5 how long the cart lives in milliseconds,
--       6 the request or nothing at all, 7 its fingerprint, 8 how long requests live in milliseconds, 9 how many.
-- Returns nothing when it is done, and otherwise what load.lua returns, with nothing written.
-- All reads come before all writes: what Redis may refuse, it refuses before anything has changed.
local known = ARGV[6] ~= '' and redis.call('HGET', KEYS[2], ARGV[6])
local cart = redis.call('HMGET', KEYS[1], 'version', 'items', 'expires_at_ms')
if known or (cart[1] or '0') ~= ARGV[1] then
    return {known, cart[1], cart[2], cart[3]}
end

redis.call('HSET', KEYS[1], 'version', ARGV[2], 'items', ARGV[3], 'expires_at_ms', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if ARGV[6] ~= '' then
    redis.call('HSET', KEYS[2], ARGV[6], ARGV[7])
    redis.call('RPUSH', KEYS[3], ARGV[6])
    if redis.call('LLEN', KEYS[3]) > tonumber(ARGV[9]) then
        redis.call('HDEL', KEYS[2], redis.call('LPOP', KEYS[3]))
    end
    redis.call('PEXPIRE', KEYS[2], ARGV[8])
    redis.call('PEXPIRE', KEYS[3], ARGV[8])
end
return false
