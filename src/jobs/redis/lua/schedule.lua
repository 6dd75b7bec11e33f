-- ARGV: "register" name rule; "pause", "resume" or "forget" and a name; or "list".
-- Answers the schedules: name, rule, last, runs, paused. Or whether there is one of the name.
local function row(name)
  local v = call("HMGET", P .. "h:" .. name, "rule", "last", "runs", "paused")
  return {name, v[1] or "", v[2] or "0", v[3] or "0", v[4] or "0"}
end
local act, name = ARGV[3], ARGV[4]
if act == "list" then
  local names, found = call("SMEMBERS", P .. "schedules"), {}
  table.sort(names)
  for i, name in ipairs(names) do found[i] = row(name) end
  return answer(found)
end
local h = P .. "h:" .. name
pass()
if act == "register" then
  call("SADD", P .. "schedules", name)
  call("HSETNX", h, "last", int(t))
  call("HSET", h, "rule", ARGV[5])
  return answer({row(name)})
end
if call("EXISTS", h) == 0 then return answer(0) end
if act == "forget" then
  call("DEL", h)
  call("SREM", P .. "schedules", name)
elseif act == "pause" then
  call("HSET", h, "paused", "1")
elseif call("HDEL", h, "paused") == 1 then
  -- What was due meanwhile is not made up for.
  if num(call("HGET", h, "last")) < t then call("HSET", h, "last", int(t)) end
end
return answer(1)
