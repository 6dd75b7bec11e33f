-- ARGV: "get" and a queue; or "pause", "resume", "running" and a number or "", "rate" and its text
-- or "", the gain, the cost and the most parts of the token bucket.
-- Answers whether it is paused, the most that run, and the text of the rate.
local act, name = ARGV[3], ARGV[4]
local q = P .. "q:" .. name
if act == "get" then
  local v = call("HMGET", q, "pa", "mr", "ra")
  return answer(v[1] and 1 or 0, v[2] or "", v[3] or "")
end
pass()
if act == "pause" then
  call("HSET", q, "pa", "1")
elseif act == "resume" then
  call("HDEL", q, "pa")
elseif act == "running" then
  if ARGV[5] ~= "" then call("HSET", q, "mr", ARGV[5]) else call("HDEL", q, "mr") end
elseif ARGV[5] == "" then
  call("HDEL", q, "ra", "ga", "co", "mo", "to", "ta")
elseif call("HGET", q, "ra") ~= ARGV[5] then
  -- Every consumer may set it at its start. That is no reason for another burst.
  call("HSET", q, "ra", ARGV[5], "ga", ARGV[6], "co", ARGV[7], "mo", ARGV[8], "to", ARGV[8],
    "ta", int(t))
end
call("SADD", P .. "queues", name)
trim(name)
news[name] = true
return answer(1)
