-- What Redis says of itself, and its clock.
local time = redis.call('TIME')
return {redis.call('INFO', 'everything'), tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)}
