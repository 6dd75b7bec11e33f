-- Looks whether jobs are where their states say.
-- ARGV: as of the filter, which finds the ids, with "1" to mend what is wrong as the one before the
-- ids. Answers up to which id it has looked, if there may be more, and the
-- faults: job, text, whether it is mended.
local mends = ARGV[11] == "1"
if mends then pass() end
local faults = {}

local function fault(id, what, mend)
  local is_mended = mends and mend ~= nil
  if is_mended then mend() end
  faults[#faults + 1] = {id, what, is_mended and 1 or 0}
end

-- The entry of a sorted set is as it is to be.
local function check_entry(j, name, score, what)
  local found = call("ZSCORE", P .. name, pad(j.id))
  if score and tonumber(found or nil) ~= score then
    fault(j.id, what .. " does not have it as it is",
      function() call("ZADD", P .. name, score, pad(j.id)) end)
  elseif not score and found then
    fault(j.id, what .. " has it wrongly", function() call("ZREM", P .. name, pad(j.id)) end)
  end
end

local function check_running(j)
  if not call("ZSCORE", P .. "sessions", pad(j.ss)) then
    fault(j.id, "it runs in session " .. j.ss .. ", which is not open", function()
      if has(j.fl, 1) then
        die(j, "its session was closed; at most once")
      else
        wait_again(j, "R")
      end
    end)
    return
  end
  local entry = call("HGET", P .. "s:" .. j.ss, j.id)
  if not entry then
    fault(j.id, "its session does not have it", function()
      call("HSET", P .. "s:" .. j.ss, j.id, string.rep("0", 20) .. (j.ca and "c" or ""))
    end)
  elseif string.sub(entry, 21, 21) == " "
    and not (has_plain_end(j) and entry == plain_entry(string.sub(entry, 1, 20), j.c, j.q))
  then
    fault(j.id, "its session has it with another end", function() look_closer(j.ss, j.id) end)
  end
end

local function check_lane(j)
  local holder = call("GET", P .. "l:" .. j.ln)
  local h = holder and load(holder)
  local is_free = not (h and is_live(h.s) and h.s ~= "B" and h.ln == j.ln)
  if j.s ~= "B" and j.s ~= "S" and holder ~= j.id then
    fault(j.id, "it has not its lane", is_free and function()
      call("SET", P .. "l:" .. j.ln, j.id)
    end or nil)
  elseif j.s == "B" and not waits_for_parents(j) and is_free then
    fault(j.id, "it waits for a lane that is free", function()
      call("SET", P .. "l:" .. j.ln, "0")
      pass_lane({id = "0", ln = j.ln})
    end)
  end
end

-- Those that it follows know of it.
local function check_parents(j)
  local left = 0
  for p in string.gmatch(j.af or "", "%d+") do
    if call("SISMEMBER", P .. "ch:" .. p, j.id) == 1 then left = left + 1 end
  end
  if left ~= num(j.np) then
    fault(j.id, "it waits for " .. num(j.np) .. " jobs, and " .. left .. " know of it", function()
      if left > 0 then
        call("HSET", key(j), "np", left)
      elseif j.s == "B" then
        count(j.q, "B", -1)
        call("HDEL", key(j), "np")
        j.np = nil
        wait_for_time(j)
      end
    end)
  end
end

local function check_key_of(j)
  local holds = j.us == "e" or (j.us == "s" and not j.bg)
  if not holds then return end
  local holder = holder_of(unique_key(j))
  if holder ~= j.id then
    fault(j.id, "it has not its unique key " .. string.sub(j.u, 2), not holder and function()
      call("SET", unique_key(j), j.id)
    end or nil)
  end
end

local function check_ended(j)
  local is_over, is_kept = num(j.un) <= t, call("ZSCORE", P .. "kept", pad(j.id)) ~= false
  if not is_over then
    check_entry(j, "kept", num(j.un), "the index of kept jobs")
    if j.s == "X" then check_entry(j, "dead", num(j.en), "the index of dead jobs") end
  elseif not is_kept and not is_held(j.id) then
    fault(j.id, "it is kept for nothing", function() remove(j) end)
  end
end

local function check_live(j)
  if j.s == "U" then check_running(j) end
  check_parents(j)
  if j.ln then
    local is_blocked = j.s == "B" and not waits_for_parents(j)
    check_entry(j, "bl:" .. j.ln, is_blocked and 0 or nil, "its lane")
    check_lane(j)
  end
  check_key_of(j)
end

local function check(j)
  local is_ready = j.s == "R" or j.s == "L"
  check_entry(j, "due", j.s == "S" and due(j) or nil, "the index of scheduled jobs")
  check_entry(j, "r:" .. j.q .. "\n" .. j.k, is_ready and -num(j.pr) or nil, "its line")
  local expires = j.xp and not j.bg and is_waiting(j) and after(due(j), num(j.xp)) or nil
  check_entry(j, "exp", expires, "the index of expiring jobs")
  if j.un then check_ended(j) elseif is_live(j.s) then check_live(j) end
end

local ids, has_more, last = next_ids()
for _, id in ipairs(ids) do
  local j = load(id)
  if j and j.q then
    check(j)
  else
    fault(id, "there is nothing of it", function() remove({id = id}) end)
  end
end
end_late()
return answer(has_more and (last and int(last) or ids[#ids]) or false, faults)
