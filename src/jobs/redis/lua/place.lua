-- Stores a job. Goes before `enqueue` and `tick`.

-- How many arguments a job has.
local WIDTH = 17

-- Reads the job whose first argument is the one at `i`.
local function read_job(i)
  local a = {unpack(ARGV, i, i + WIDTH - 1)}
  local n = {
    q = a[1], k = a[2], pr = a[3], xp = a[6], kp = a[7], mx = a[8], fl = a[9], u = a[10],
    us = a[11], us_span = tonumber(a[12]), replaces = a[13] == "1", ln = a[14], af = a[15],
    m = a[16], p = a[17],
  }
  local when = tonumber(a[5])
  if a[4] == "a" then n.due = after(t, when) else n.due = math.max(t, when) end
  return n
end

-- The largest id that a job of `n` is to follow. No job has the id 0.
local function last_parent(n)
  local last = 0
  for id in string.gmatch(n.af, "%d+") do
    last = math.max(last, id == "0" and LAST or tonumber(id))
  end
  return last
end

-- Has the job follow its parents. Returns how many of them have not ended, and whether one of the
-- others did not succeed.
local function follow(id, af)
  local left, has_failed = 0, false
  for p in string.gmatch(af, "%d+") do
    local v = call("HMGET", P .. "j:" .. p, "s", "un", "ss")
    local parent = {s = not gone[p] and v[1], un = v[2] or nil}
    if not parent.s or (is_forgotten(parent) and not is_held(p)) then
      -- It counts as one that succeeded.
    elseif is_live(parent.s) then
      call("SADD", P .. "ch:" .. p, id)
      call("HSET", P .. "j:" .. p, "ch", "1")
      if v[3] then look_closer(v[3], p) end
      left = left + 1
    else
      call("SADD", P .. "hl:" .. p, id)
      call("HSET", P .. "j:" .. p, "ch", "1")
      has_failed = has_failed or parent.s ~= "D"
    end
  end
  return left, has_failed
end

local function expire_at(j, xp)
  if xp ~= "" then call("ZADD", P .. "exp", after(due(j), tonumber(xp)), pad(j.id)) end
end

-- The waiting job takes what the new one says.
local function replace(j, n)
  leave(j)
  if j.xp then call("ZREM", P .. "exp", pad(j.id)) end
  local fields = {"du", int(n.due)}
  put(fields, j, "p", n.p)
  local removed = {}
  local function set(f, value)
    j[f] = value
    fields[#fields + 1] = f
    fields[#fields + 1] = value
  end
  local function unset(f)
    if j[f] == "+" then call("DEL", P .. f .. ":" .. j.id) end
    j[f] = nil
    removed[#removed + 1] = f
  end
  j.du = int(n.due)
  if n.m ~= "" then put(fields, j, "m", n.m) else unset("m") end
  if n.xp ~= "" then set("xp", n.xp) else unset("xp") end
  if #removed > 0 then call("HDEL", key(j), unpack(removed)) end
  expire_at(j, n.xp)
  if waits_for_parents(j) then
    enter(j, "B", unpack(fields))
  else
    if n.due > t and j.ln then pass_lane(j) end
    wait_for_time(j, unpack(fields))
    end_late()
  end
end

-- Returns what became of the job: "+", "=" or "~", and its id.
local function place(n)
  if n.u ~= "" then
    local holder = holder_of(unique_key(n))
    local j = holder and load(holder)
    if j and has_expired(j) then
      finish(j, "E", j.kp)
      settle()
      holder = holder_of(unique_key(n))
    end
    if holder then
      j = n.replaces and load(holder)
      if j and is_waiting(j) and not j.c then
        replace(j, n)
        return "~" .. holder
      end
      return "=" .. holder
    end
  end
  last_id = (last_id or num(call("GET", P .. "id"))) + 1
  given = given + 1
  local id = int(last_id)
  note(id, 1)
  local j = {id = id, q = n.q, k = n.k, pr = n.pr, at = int(t), fl = n.fl}
  local fields = {"q", n.q, "k", n.k, "at", j.at}
  local function set(f, value, default)
    if value ~= default then
      j[f] = value
      fields[#fields + 1] = f
      fields[#fields + 1] = value
    end
  end
  set("pr", n.pr, "0")
  if n.due > t then set("du", int(n.due)) end
  set("xp", n.xp, "")
  set("kp", n.kp, "")
  set("mx", n.mx, "3")
  set("fl", n.fl, "0")
  set("ln", n.ln, "")
  set("af", n.af, "")
  put(fields, j, "p", n.p)
  if n.m ~= "" then put(fields, j, "m", n.m) end
  expire_at(j, n.xp)
  local left, has_failed = 0, false
  if n.af ~= "" then left, has_failed = follow(id, n.af) end
  local is_cancelled = has_failed and not has(n.fl, 2)
  if n.u ~= "" then
    set("u", n.u)
    set("us", n.us)
    if is_cancelled then
      -- It never has its key.
    elseif n.us == "t" then
      local till = after(t, n.us_span)
      call("SET", unique_key(j), id .. " " .. int(till))
      call("ZADD", P .. "ut", till, j.k .. "\n" .. j.u)
    else
      call("SET", unique_key(j), id)
    end
  end
  if left > 0 and not is_cancelled then set("np", int(left)) end
  if is_cancelled then
    -- It has never waited for its time or its lane, nor had its key.
    set("np", int(left + 1))
    enter(j, "B", unpack(fields))
    cancel_now(j)
  elseif left > 0 then
    enter(j, "B", unpack(fields))
  else
    wait_for_time(j, unpack(fields))
  end
  return "+" .. id
end
