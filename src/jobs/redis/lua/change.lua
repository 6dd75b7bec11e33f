-- Makes dead jobs ready, or removes jobs that do not run. ARGV: as of the filter, with "retry" or
-- "purge" as the one before the ids. Answers how many, and up to which id it has looked, if there
-- may be more.
pass()

local function purge(j)
  if is_live(j.s) then
    finish(j)
    settle()
  else
    free_key(j)
    remove(j)
  end
  return true
end

-- It joins its lane anew, and follows nothing.
local function revive(j)
  if j.u then
    local holder = holder_of(unique_key(j))
    if holder and holder ~= j.id then return false end
    if j.us == "e" then call("SET", unique_key(j), j.id) end
  end
  call("ZREM", P .. "dead", pad(j.id))
  call("ZREM", P .. "kept", pad(j.id))
  call("HDEL", key(j), "f", "x", "ca", "en", "un")
  j.du, j.ca, j.un = int(t), nil, nil
  line_up(j, "R", "du", j.du)
  return true
end

local is_retry, chosen = ARGV[11] == "retry", {}
local _, last = each(function(j)
  local is_chosen = is_retry and j.s == "X" or not is_retry and j.s ~= "U"
  if is_chosen then chosen[#chosen + 1] = j.id end
  return is_chosen
end)
local acted = 0
for _, id in ipairs(chosen) do
  local j = load(id)
  if not j then
    -- It followed one that was removed before it, and was cancelled.
    acted = acted + 1
  elseif (is_retry and revive or purge)(j) then
    acted = acted + 1
  end
end
return answer(int(acted), last)
