-- ARGV: the lease, the info. Answers the number. It is at least the time, so that no number comes
-- again if Redis has lost what it stored last.
pass()
local id = math.max(num(call("GET", P .. "sid")) + 1, t)
call("SET", P .. "sid", int(id))
call("ZADD", P .. "sessions", after(t, tonumber(ARGV[3])), pad(int(id)))
call("HSET", P .. "i:" .. int(id), "info", ARGV[4], "x", string.rep("0", 20))
return answer(int(id))
