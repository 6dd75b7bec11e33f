-- Stores the job of a time of a schedule. ARGV: schedule, time, the job.
-- Answers "no", "yes", or "never" if the job is to follow one that has never been.
local n = read_job(5)
if last_parent(n) > num(call("GET", P .. "id")) then return answer("never") end
local h, at = P .. "h:" .. ARGV[3], tonumber(ARGV[4])
local v = call("HMGET", h, "last", "paused")
if not v[1] or v[2] == "1" or at <= tonumber(v[1]) or at > t then return answer("no") end
-- Refused if the memory is full.
call("INCRBY", P .. "id", 0)
call("HSET", h, "last", int(at))
if string.sub(place(n), 1, 1) == "+" then call("HINCRBY", h, "runs", 1) end
return answer("yes")
