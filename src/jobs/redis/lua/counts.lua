-- Answers the queues: name, paused, scheduled, blocked, ready, running; how many are dead; totals.
local names, found = call("SMEMBERS", P .. "queues"), {}
table.sort(names)
for _, name in ipairs(names) do
  local v = call("HMGET", P .. "q:" .. name, "pa", "S", "B", "R", "U", "mr", "ra")
  local live = num(v[2]) + num(v[3]) + num(v[4]) + num(v[5])
  if live > 0 or v[1] or v[6] or v[7] then
    found[#found + 1] = {name, v[1] and 1 or 0, v[2] or "0", v[3] or "0", v[4] or "0", v[5] or "0"}
  end
end
-- A few may be there only since no sweep has removed them.
local dead = call("ZCARD", P .. "dead")
for _, m in ipairs(call("ZRANGEBYSCORE", P .. "kept", "-inf", t, "LIMIT", 0, 1000)) do
  if call("ZSCORE", P .. "dead", m) then dead = dead - 1 end
end
local v = call("HMGET", P .. "st", "done", "dead", "cancelled", "expired", "retried", "crashed")
for i = 1, 6 do v[i] = v[i] or "0" end
return answer(found, int(dead), v)
