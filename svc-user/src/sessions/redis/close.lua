-- Ends a session of a user, or all of them.
-- KEYS: the sessions of a user, as in open.lua. ARGV: the session, or nothing at all.
if ARGV[1] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('HDEL', KEYS[1], ARGV[1])
end
return false
