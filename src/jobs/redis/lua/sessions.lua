-- Lists the sessions: number, end of the lease, how many jobs it runs, info.
local found = {}
local all = call("ZRANGE", P .. "sessions", 0, -1, "WITHSCORES")
for i = 1, #all, 2 do
  local id = unpad(all[i])
  found[#found + 1] = {
    id, all[i + 1], call("HLEN", P .. "s:" .. id), call("HGET", P .. "i:" .. id, "info") or "",
  }
end
return answer(found)
