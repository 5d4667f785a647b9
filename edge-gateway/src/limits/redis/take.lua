-- Takes one call, if the rate allows it: the generic cell rate algorithm, as in local.rs.
-- KEYS: the time at which all that was taken is paid for, in unix microseconds.
-- ARGV: 1 now, 2 what one call takes, 3 how far ahead is allowed; in microseconds.
-- Returns how long to wait in microseconds, 0 for a call that is allowed.
local now, interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local paid = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if paid - now > tolerance then
    return paid - now - tolerance
end
paid = paid + interval
-- What is paid for is like what never was. One minute more: edges' clocks differ.
local kept_ms = math.ceil((paid - now) / 1000) + 60000
redis.call('SET', KEYS[1], string.format('%.0f', paid), 'PX', kept_ms)
return 0
