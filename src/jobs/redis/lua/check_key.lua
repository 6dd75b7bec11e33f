-- Looks whether what a key says of jobs is so.
-- ARGV: "1" to mend what is wrong, the group, as `r:`, and the rest of the key.
-- Answers the faults: job or "", text, whether it is mended.
local mends, group, name = ARGV[3] == "1", ARGV[4], ARGV[5]
if mends then pass() end
local k, faults = P .. group .. name, {}

local function fault(id, what, mend)
  if mends then mend() end
  faults[#faults + 1] = {id, what, mends and 1 or 0}
end

-- Each member of a sorted set is a job to which `is_right` applies.
local function check_members(is_right)
  for _, m in ipairs(call("ZRANGE", k, 0, -1)) do
    local j = load(unpad(m))
    if not j or not is_right(j) then
      fault(unpad(m), "`" .. group .. name .. "` has it wrongly",
        function() call("ZREM", k, m) end)
    end
  end
end

local function check_set(is_right)
  for _, id in ipairs(call("SMEMBERS", k)) do
    local j = load(id)
    if not j or not is_right(j) then
      fault(id, "`" .. group .. name .. "` has it wrongly", function() call("SREM", k, id) end)
    end
  end
end

if group == "r:" then
  check_members(function(j) return (j.s == "R" or j.s == "L") and line(j) == k end)
elseif group == "due" then
  check_members(function(j) return j.s == "S" end)
elseif group == "exp" then
  check_members(function(j) return j.xp ~= nil and is_waiting(j) end)
elseif group == "dead" then
  check_members(function(j) return j.s == "X" end)
elseif group == "kept" then
  check_members(function(j) return j.un ~= nil end)
elseif group == "bl:" then
  check_members(function(j) return j.s == "B" and j.ln == name end)
elseif group == "ch:" then
  local parent = load(name)
  local is_live_parent = parent ~= nil and is_live(parent.s)
  check_set(function(j) return is_live_parent and j.s == "B" and waits_for_parents(j) end)
elseif group == "hl:" then
  check_set(function(j) return is_live(j.s) and j.af ~= nil end)
elseif group == "s:" then
  local is_open = call("ZSCORE", P .. "sessions", pad(name)) ~= false
  for _, id in ipairs(call("HKEYS", k)) do
    local j = load(id)
    if not is_open or not j or j.s ~= "U" or j.ss ~= name then
      fault(id, "session " .. name .. " has it wrongly", function() call("HDEL", k, id) end)
    end
  end
elseif group == "l:" then
  local holder = call("GET", k)
  local j = holder and load(holder)
  if holder and not (j and is_live(j.s) and j.s ~= "B" and j.ln == name) then
    fault(holder, "it has a lane wrongly", function() pass_lane({id = holder, ln = name}) end)
  end
elseif group == "u:" then
  local holder, is_for_time = holder_of(k)
  local j = holder and load(holder)
  if holder and not is_for_time
    and not (j and is_live(j.s) and j.u and unique_key(j) == k and not (j.us == "s" and j.bg))
  then
    fault(holder, "it has a unique key that is not its own", function() call("DEL", k) end)
  end
elseif group == "p:" or group == "m:" or group == "er:" or group == "o:" then
  local j = load(name)
  if not j or j[string.sub(group, 1, -2)] ~= "+" then
    fault(name, "a text of it is left", function() call("DEL", k) end)
  end
elseif group == "q:" then
  -- The counts follow from the jobs. Not looked at if there are too many of them.
  local is, number = {S = 0, B = 0, R = 0, U = 0}, 0
  for _, block in ipairs(call("ZRANGE", P .. "blocks", 0, -1)) do
    local bits, base = call("GET", P .. "b:" .. block) or "", tonumber(block) * BLOCK
    number = number + call("BITCOUNT", P .. "b:" .. block)
    if number > 20000 then return answer(faults) end
    for at = 1, #bits do
      local byte = string.byte(bits, at)
      for bit = 0, 7 do
        if byte > 0 and math.floor(byte / 2 ^ (7 - bit)) % 2 == 1 then
          local v = call("HMGET", P .. "j:" .. int(base + (at - 1) * 8 + bit), "s", "q")
          local s = v[1] == "L" and "R" or v[1]
          if v[2] == name and is[s] then is[s] = is[s] + 1 end
        end
      end
    end
  end
  for s, n in pairs(is) do
    if num(call("HGET", k, s)) ~= n then
      fault("", "the queue " .. name .. " has other counts than jobs", function()
        call("HSET", k, s, n)
      end)
    end
  end
end
end_late()
return answer(faults)
