-- Ends, leases that are over, what is due, claims. In this order.
-- ARGV: session, number of 20 digits, count of ends, each end: id claim verdict span keep text;
--   count of queues, each: queue, most, count of kinds, kinds.
-- Answers "stale" and the last number, or: "ok", whether it lives, the time, when the next is due,
-- whether there is more, the judgements, and the claimed jobs.
local session, number = ARGV[3], ARGV[4]
local last = call("HGET", P .. "i:" .. session, "x")
if last and number <= last then return answer("stale", last) end
pass()

-- Takes the verdict of a job that is running or lost. Returns whether it ended or waits.
local function judge(j, verdict, span, keep, value)
  if verdict == "d" then
    finish(j, "D", j.kp or keep, value)
    settle()
  elseif verdict == "x" then
    j.f = int(num(j.f) + 1)
    call("HSET", key(j), "f", j.f)
    die(j, value)
  elseif verdict == "c" then
    cancel_now(j)
  elseif verdict == "b" then
    return wait_again(j, "R") and "W" or "E"
  elseif verdict == "r" then
    -- Written also if it ends: it has failed.
    j.f = int(num(j.f) + 1)
    local fields = {"f", j.f}
    put(fields, j, "er", value)
    call("HSET", key(j), unpack(fields))
    j.du = int(after(t, tonumber(span)))
    if wait_again(j, "S", "du", j.du) then
      total("retried")
      return "W"
    end
  else
    j.du = int(after(t, tonumber(span)))
    return wait_again(j, "S", "du", j.du) and "W" or "E"
  end
  return "E"
end

-- So many jobs are looked up at once.
local AHEAD = 32

local i = 6
local judged = {}
for e = 1, tonumber(ARGV[5]) do
  local j = load(ARGV[i])
  if j and (j.s == "U" or j.s == "L") and j.c == ARGV[i + 1] then
    judged[e] = judge(j, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
  else
    judged[e] = "G"
  end
  i = i + 6
end

end_leases(10)

for _, m in ipairs(call("ZRANGEBYSCORE", P .. "due", "-inf", t, "LIMIT", 0, 200)) do
  local j = load(unpad(m))
  if j and j.s == "S" then
    leave(j)
    line_up(j, "R")
  else
    call("ZREM", P .. "due", m)
  end
end

local alive = call("ZSCORE", P .. "sessions", pad(session)) ~= false
local more = has_old("due") or has_old("sessions")
local claimed = {}

-- The settings and counts of a queue. What this script has changed is not in Redis yet.
local function queue_of(name)
  local v = call("HMGET", P .. "q:" .. name, "pa", "mr", "ga", "co", "mo", "to", "ta", "c", "U")
  local q = {
    key = P .. "q:" .. name, paused = v[1], most = tonumber(v[2]), claims = num(v[8]),
    running = num(v[9]) + ((counts[name] or {}).U or 0),
  }
  if v[3] then
    -- A token bucket, counted in parts: a job takes `cost`, and a millisecond brings `gain`.
    q.cost = tonumber(v[4])
    local passed = math.max(0, t - tonumber(v[7]))
    q.parts = math.min(tonumber(v[5]), tonumber(v[6]) + passed * tonumber(v[3]))
  end
  return q
end

local function allows_one_more(q)
  return not q.paused and (not q.most or q.running < q.most) and (not q.cost or q.parts >= q.cost)
end

-- The oldest job of the lowest priority of a kind.
local function oldest_of_lowest(line)
  flush_lines()
  local lowest = call("ZRANGE", line, -1, -1, "WITHSCORES")
  if not lowest[1] then return lowest end
  return call("ZRANGEBYSCORE", line, lowest[2], lowest[2], "WITHSCORES", "LIMIT", 0, 1)
end

-- The first job of a kind that is not among those that were taken. `ahead` has the next ones, by
-- line: it is emptied if other jobs may have joined.
local function first_of(line, ahead, taken)
  local next = ahead[line]
  while true do
    if not next then
      flush_lines()
      next = call("ZRANGE", line, 0, AHEAD - 1, "WITHSCORES")
      next.at = 1
      ahead[line] = next
    end
    while next[next.at] and taken[next[next.at]] do next.at = next.at + 2 end
    if next[next.at] or #next < 2 * AHEAD then return {next[next.at], next[next.at + 1]} end
    next = nil
  end
end

local function is_before(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end
local function is_lower(a, b) return a[2] > b[2] or (a[2] == b[2] and a[1] < b[1]) end

-- The next job of the lines: member, score and line.
local function next_of(all, ahead, taken, is_fair_turn)
  local best
  for _, line in ipairs(all) do
    local h
    if is_fair_turn then h = oldest_of_lowest(line) else h = first_of(line, ahead, taken) end
    if h[1] then
      h = {h[1], tonumber(h[2]), line}
      if not best or (is_fair_turn and is_lower or is_before)(h, best) then best = h end
    end
  end
  return best
end

local function begin(j, q)
  leave(j)
  j.c = int(num(j.c) + 1)
  local fields = {"s", "U", "c", j.c, "ss", session}
  if not j.bg then
    j.bg = int(t)
    fields[#fields + 1] = "bg"
    fields[#fields + 1] = j.bg
    if j.xp then call("ZREM", P .. "exp", pad(j.id)) end
    if j.us == "s" then free_key(j) end
  end
  call("HSET", key(j), unpack(fields))
  note_in(runs, session, j.id, number)
  count(j.q, "U", 1)
  q.claims = (q.claims + 1) % 32
  q.running = q.running + 1
  if q.cost then q.parts = q.parts - q.cost end
  return {
    j.id, j.c, j.k, j.q, j.pr or "0", j.fl or "0", j.f or "0", j.x or "0", j.at, j.bg,
    text(j, "er"), text(j, "m"), text(j, "p") or "",
  }
end

local function claim(queue, most, kinds)
  local q, ahead, taken, number = queue_of(queue), {}, {}, 0
  local all, best = {}, nil
  for k, kind in ipairs(kinds) do all[k] = P .. "r:" .. queue .. "\n" .. kind end
  while allows_one_more(q) do
    best = next_of(all, ahead, taken, q.claims == 31)
    if not best then break end
    local j = load(unpad(best[1]))
    if not j then
      note_in(lines, best[3], best[1], false)
      taken[best[1]] = true
    elseif has_expired(j) then
      finish(j, "E", j.kp)
      settle()
      ahead = {}
    elseif number == most then
      break
    else
      claimed[#claimed + 1] = begin(j, q)
      number = number + 1
      taken[best[1]] = true
    end
    best = nil
  end
  if number > 0 then call("HSET", q.key, "c", q.claims) end
  if q.cost then call("HSET", q.key, "to", string.format("%.0f", q.parts), "ta", int(t)) end
  if best then
    more = true
    news[queue] = true
  end
end

i = i + 1
for _ = 1, tonumber(ARGV[i - 1]) do
  local queue, most, kinds, known = ARGV[i], tonumber(ARGV[i + 1]), {}, {}
  for k = i + 3, i + 2 + tonumber(ARGV[i + 2]) do
    if not known[ARGV[k]] then kinds[#kinds + 1] = ARGV[k] end
    known[ARGV[k]] = true
  end
  i = i + 3 + tonumber(ARGV[i + 2])
  if alive and most > 0 then claim(queue, most, kinds) end
end
if alive then call("HSET", P .. "i:" .. session, "x", number) end
local first = call("ZRANGE", P .. "due", 0, 0, "WITHSCORES")
return answer(
  "ok", alive and 1 or 0, int(t), first[2] or false, more and 1 or 0, table.concat(judged), claimed)
