-- What a cart is, and whether a request was answered before.
-- KEYS: the cart, its requests. ARGV: the request, or nothing at all.
-- Returns the request's fingerprint, version, items, expires_at_ms; each may be missing.
local known = ARGV[1] ~= '' and redis.call('HGET', KEYS[2], ARGV[1])
local cart = redis.call('HMGET', KEYS[1], 'version', 'items', 'expires_at_ms')
return {known, cart[1], cart[2], cart[3]}
