-- ARGV: "one" or "parents", and a job. Answers the job, or those that it follows: id, and its state
-- with its output or error, or "F" for one that is forgotten, or "N" for one that has never been.
local last = num(call("GET", P .. "id"))
local function fate(id, is_parent)
  local v = call("HMGET", P .. "j:" .. id, "s", "un", "o", "er")
  local j = {id = id, s = v[1], un = v[2] or nil, o = v[3], er = v[4]}
  -- That of a parent is kept at least as long as one lives that follows it.
  local is_held = is_parent and call("EXISTS", P .. "hl:" .. id) == 1
  if not j.s or (is_forgotten(j) and not is_held) then
    local has_been = tonumber(id) >= 1 and tonumber(id) <= last
    return {id, has_been and "F" or "N", ""}
  end
  return {id, j.s, j.s == "D" and text(j, "o") or j.s == "X" and text(j, "er") or ""}
end
local id = ARGV[4]
if ARGV[3] == "one" then return answer({fate(id)}) end
local found = {}
local v = call("HMGET", P .. "j:" .. id, "s", "af")
if v[1] and is_live(v[1]) then
  for p in string.gmatch(v[2] or "", "%d+") do found[#found + 1] = fate(p, true) end
end
return answer(found)
