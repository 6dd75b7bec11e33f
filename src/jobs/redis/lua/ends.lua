-- What ends a job, and what follows from that. Goes after the prelude, before each script that
-- changes jobs.
local function unique_key(j) return P .. "u:" .. j.k .. "\n" .. j.u end

-- Returns the id of the job that has a unique key, as text.
local function holder_of(key)
  local held = call("GET", key)
  if not held then return nil end
  local id, till = string.match(held, "^(%d+) ?(%d*)$")
  if till ~= "" and tonumber(till) <= t then return nil end
  return id, till ~= ""
end

-- Frees the key of the job, unless a time decides.
local function free_key(j)
  if j.u and call("GET", unique_key(j)) == j.id then call("DEL", unique_key(j)) end
end

-- Whether live jobs follow an ended one: its outcome is kept for their sake.
local function is_held(id) return call("EXISTS", P .. "hl:" .. id) == 1 end

-- The time of an ended job is over.
local function forget(id)
  if is_held(id) then
    call("ZREM", P .. "kept", pad(id))
    call("ZREM", P .. "dead", pad(id))
    call("HSET", P .. "j:" .. id, "un", "0")
  else
    local j = load(id)
    if j then remove(j) end
  end
end

-- A job does not follow its parents any more: what was kept of them for its sake is not.
local function let_go(j)
  for p in string.gmatch(j.af, "%d+") do
    call("SREM", P .. "ch:" .. p, j.id)
    if call("SREM", P .. "hl:" .. p, j.id) == 1 and not is_held(p) then
      -- If its own time is not over, it is kept for that.
      local parent = not call("ZSCORE", P .. "kept", pad(p)) and load(p)
      if parent and parent.un then remove(parent) end
    end
  end
end

-- What follows from ends, and is still to be done: children to be looked at, with whether their
-- parent has succeeded; and jobs that leave their lanes.
local children_of_ended, leave_lanes = {}, {}

-- Notifies processes, by their inboxes.
local function send(inboxes, what)
  for inbox in string.gmatch(inboxes, "%S+") do
    call("RPUSH", P .. "in:" .. inbox, what)
    call("PEXPIRE", P .. "in:" .. inbox, MINUTE)
  end
end

-- Ends a live job, with the state `s`. Without one, it is removed, and counts as nothing. The
-- caller calls `settle` then.
local TOTAL = {D = "done", X = "dead", C = "cancelled", E = "expired"}
local function finish(j, s, keep, value)
  leave(j)
  if j.xp and not j.bg then call("ZREM", P .. "exp", pad(j.id)) end
  free_key(j)
  if j.ln then leave_lanes[#leave_lanes + 1] = j end
  if j.af then let_go(j) end
  local children = j.ch and call("SMEMBERS", P .. "ch:" .. j.id) or {}
  if #children > 0 then
    call("DEL", P .. "ch:" .. j.id)
    table.sort(children, function(a, b) return tonumber(a) < tonumber(b) end)
    for _, id in ipairs(children) do
      call("SADD", P .. "hl:" .. j.id, id)
      children_of_ended[#children_of_ended + 1] = {id, s == "D"}
    end
  end
  send(j.w or "", j.id)
  if not s then
    if j.ch then call("DEL", P .. "hl:" .. j.id) end
    return remove(j)
  end
  total(TOTAL[s])
  keep = num(keep)
  if s == "X" then keep = math.max(keep, MONTH) end
  if j.w then keep = math.max(keep, MINUTE) end
  if keep <= 0 and not (j.ch and is_held(j.id)) then return remove(j) end
  local till, m = after(t, keep), pad(j.id)
  local fields = {"s", s, "en", int(t), "un", int(till)}
  if s == "D" then put(fields, j, "o", value) end
  if s == "X" then put(fields, j, "er", value) end
  -- Otherwise it is kept for the sake of those that follow it, and nothing else shows it.
  if keep > 0 then call("ZADD", P .. "kept", till, m) end
  call("HSET", key(j), unpack(fields))
  call("HDEL", key(j), "ss", "np", "af")
  if s == "X" then
    call("ZADD", P .. "dead", t, m)
    if call("ZCARD", P .. "dead") > MOST_DEAD then
      forget(unpad(call("ZRANGE", P .. "dead", 0, 0)[1]))
    end
  end
end

-- Does what follows from an end. First the cancels go down, by a list of work: each may be that of
-- the next parent. Then the jobs that wait for no other one are released, by their ids. At last the
-- lane goes on, so that they take part.
local function follow_up()
  local free, i = {}, 1
  while i <= #children_of_ended do
    local id, is_done = children_of_ended[i][1], children_of_ended[i][2]
    i = i + 1
    local j = load(id)
    if j and j.s == "B" and waits_for_parents(j) then
      if not is_done and not has(j.fl, 2) then
        finish(j, "C", j.kp)
      elseif num(j.np) > 1 then
        call("HINCRBY", key(j), "np", -1)
      else
        call("HSET", key(j), "np", "0")
        free[#free + 1] = id
      end
    end
  end
  table.sort(free, function(a, b) return tonumber(a) < tonumber(b) end)
  for _, id in ipairs(free) do
    local j = load(id)
    if j and j.s == "B" then
      count(j.q, "B", -1)
      call("HDEL", key(j), "np")
      j.np = nil
      wait_for_time(j)
    end
  end
  for _, j in ipairs(leave_lanes) do pass_lane(j) end
  children_of_ended, leave_lanes = {}, {}
end

-- So many jobs that are too late may still end in this script: a lane may be full of them.
local most_late = 200

-- Ends those that took their lanes too late, by their ids, each with all that follows. If they are
-- too many, the last ones are ready, and the next exchange finds them.
local function end_late()
  while #late > 0 and most_late > 0 do
    local first = 1
    for i, m in ipairs(late) do if m < late[first] then first = i end end
    local j = load(unpad(table.remove(late, first)))
    if j and has_expired(j) then
      most_late = most_late - 1
      finish(j, "E", j.kp)
      follow_up()
    end
  end
end

local function settle()
  follow_up()
  end_late()
end

local function cancel_now(j)
  finish(j, "C", j.kp)
  settle()
end

local function die(j, why)
  finish(j, "X", j.kp, why)
  settle()
end

-- A running job, or a lost one, waits again. One that is to be cancelled ends. Returns whether it
-- waits.
local function wait_again(j, s, ...)
  if j.ca then
    cancel_now(j)
    return false
  end
  leave(j)
  if s == "S" then enter(j, s, ...) else line_up(j, s, ...) end
  return true
end

local function set_crashes(j)
  j.x = int(num(j.x) + 1)
  call("HSET", key(j), "x", j.x)
end

-- The lease of its session has ended. Returns its state.
local function lose_worker(j)
  set_crashes(j)
  total("crashed")
  if has(j.fl, 1) then
    die(j, "its worker was lost; at most once")
  elseif num(j.x) > num(j.mx or 3) then
    die(j, "its worker was lost " .. j.x .. " times")
  elseif wait_again(j, "L") then
    return "R"
  else
    return "C"
  end
  return "X"
end

local function running_of(session)
  local ids = call("HKEYS", P .. "s:" .. session)
  table.sort(ids, function(a, b) return tonumber(a) < tonumber(b) end)
  return ids
end

local function drop_session(session)
  call("ZREM", P .. "sessions", pad(session))
  call("DEL", P .. "s:" .. session, P .. "i:" .. session)
end

-- Ends at most so many sessions whose leases are over.
local function end_leases(most)
  local sessions, returned, died = 0, 0, 0
  for _, m in ipairs(call("ZRANGEBYSCORE", P .. "sessions", "-inf", t, "LIMIT", 0, most)) do
    local session = unpad(m)
    for _, id in ipairs(running_of(session)) do
      local j = load(id)
      if j and j.s == "U" and j.ss == session then
        local s = lose_worker(j)
        if s == "R" then returned = returned + 1 elseif s == "X" then died = died + 1 end
      end
    end
    drop_session(session)
    sessions = sessions + 1
  end
  return sessions, returned, died
end

local function has_old(name) return #call("ZRANGEBYSCORE", P .. name, "-inf", t, "LIMIT", 0, 1) > 0 end
