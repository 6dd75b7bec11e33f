-- ARGV: "job" or "session", its number, and the inbox of the process that watches it.
pass()
local inbox = ARGV[5]
local k, f = P .. "j:" .. ARGV[4], "s"
if ARGV[3] == "session" then k, f = P .. "i:" .. ARGV[4], "x" end
local v = call("HMGET", k, f, "w", "ss")
if v[1] and not string.find(" " .. (v[2] or "") .. " ", " " .. inbox .. " ", 1, true) then
  call("HSET", k, "w", (v[2] and v[2] .. " " or "") .. inbox)
  if v[3] then look_closer(v[3], ARGV[4]) end
end
return answer(1)
