-- ARGV: at most so many of each. Answers the counts, and whether there is more.
pass()
local most = tonumber(ARGV[3])
local sessions, returned, died = end_leases(most)
local forgotten = 0
for _, m in ipairs(call("ZRANGEBYSCORE", P .. "exp", "-inf", t, "LIMIT", 0, most)) do
  local j = load(unpad(m))
  if j and has_expired(j) then
    finish(j, "E", j.kp)
    settle()
  else
    call("ZREM", P .. "exp", m)
  end
end
for _, m in ipairs(call("ZRANGEBYSCORE", P .. "kept", "-inf", t, "LIMIT", 0, most)) do
  forget(unpad(m))
  call("ZREM", P .. "kept", m)
  forgotten = forgotten + 1
end
for _, m in ipairs(call("ZRANGEBYSCORE", P .. "ut", "-inf", t, "LIMIT", 0, most)) do
  -- The next job that got the key may have it for another time, or until it ends.
  local key = P .. "u:" .. m
  if not holder_of(key) then call("DEL", key) end
  call("ZREM", P .. "ut", m)
  forgotten = forgotten + 1
end
local more = has_old("sessions") or has_old("exp") or has_old("kept") or has_old("ut")
local expired = totals.expired or 0
return answer(
  int(sessions), int(returned), int(died), int(expired), int(forgotten), more and 1 or 0)
