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

-- What the session has of the jobs that end.
local function entries(ends)
  local found = {}
  for first = 1, ends, 1000 do
    local ids = {}
    for e = first, math.min(first + 999, ends) do ids[#ids + 1] = ARGV[6 * e] end
    local v = call("HMGET", P .. "s:" .. session, unpack(ids))
    for at = 1, #ids do found[first + at - 1] = v[at] end
  end
  return found
end

-- Ends a job whose end is plain. Returns whether it did. The entry is as it was before this
-- exchange, which may have another end of the job.
local function end_plainly(id, claim, entry)
  if not entry or runs[session] and runs[session][id] == false then return false end
  local of_claim, q = string.match(entry, "^ (%d+) (.*)$", 21)
  if of_claim ~= claim then return false end
  note_in(runs, session, id, false)
  count(q, "U", -1)
  total("done")
  remove({id = id})
  return true
end

-- So many jobs are looked up at once.
local AHEAD = 32

local i = 6
local judged = {}
local known = entries(tonumber(ARGV[5]))
for e = 1, tonumber(ARGV[5]) do
  local is_plain = ARGV[i + 2] == "d" and ARGV[i + 4] == ""
  if is_plain and end_plainly(ARGV[i], ARGV[i + 1], known[e]) then
    judged[e] = "E"
  else
    local j = load(ARGV[i])
    if j and (j.s == "U" or j.s == "L") and j.c == ARGV[i + 1] then
      judged[e] = judge(j, ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
    else
      judged[e] = "G"
    end
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
end_late()

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

-- The oldest job of the lowest priority of a kind: member and score.
local function oldest_of_lowest(line)
  flush_lines()
  local lowest = call("ZRANGE", line, -1, -1, "WITHSCORES")[2]
  if not lowest then return nil end
  local first = call("ZRANGEBYSCORE", line, lowest, lowest, "LIMIT", 0, 1)[1]
  return first, tonumber(lowest)
end

-- The next jobs of a kind. `step` is 2 if each has its score behind it. A score takes longer to
-- write and read than a member, and without other kinds nothing asks for it.
local function look_ahead(line, step)
  flush_lines()
  local next
  if step == 2 then
    next = call("ZRANGE", line, 0, AHEAD - 1, "WITHSCORES")
  else
    next = call("ZRANGE", line, 0, AHEAD - 1)
  end
  next.at = 1
  return next
end

-- The first job of a kind that is not among those that were taken: member and score. `ahead` has
-- the next ones, by line: it is emptied if other jobs may have joined.
local function first_of(line, ahead, taken, step)
  local next = ahead[line]
  while true do
    if not next then
      next = look_ahead(line, step)
      ahead[line] = next
    end
    local at = next.at
    while next[at] and taken[next[at]] do at = at + step end
    next.at = at
    if next[at] or #next < step * AHEAD then
      return next[at], step == 2 and tonumber(next[at + 1])
    end
    next = nil
  end
end

local function is_before(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end
local function is_lower(a, b) return a[2] > b[2] or (a[2] == b[2] and a[1] < b[1]) end

-- The next job of the lines: its member, and its line.
local function next_of(all, ahead, taken, is_fair_turn)
  if #all == 1 then
    local member
    if is_fair_turn then
      member = oldest_of_lowest(all[1])
    else
      member = first_of(all[1], ahead, taken, 1)
    end
    return member, all[1]
  end
  local best = {}
  for _, line in ipairs(all) do
    local member, score
    if is_fair_turn then
      member, score = oldest_of_lowest(line)
    else
      member, score = first_of(line, ahead, taken, 2)
    end
    if member then
      local h = {member, score, line}
      if not best[1] or (is_fair_turn and is_lower or is_before)(h, best) then best = h end
    end
  end
  return best[1], best[3]
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
  note_in(runs, session, j.id, has_plain_end(j) and plain_entry(number, j.c, j.q) or number)
  count(j.q, "U", 1)
  q.claims = (q.claims + 1) % 32
  q.running = q.running + 1
  if q.cost then q.parts = q.parts - q.cost end
  local numbers = {
    j.id, j.c, j.pr or "0", j.fl or "0", j.f or "0", j.x or "0", j.at, j.bg,
  }
  return {
    table.concat(numbers, " "), j.k, j.q, text(j, "p") or "", text(j, "m"), text(j, "er"),
  }
end

local function claim(queue, most, kinds)
  local q, ahead, taken, number = queue_of(queue), {}, {}, 0
  local all, best, of = {}, nil, nil
  for k, kind in ipairs(kinds) do all[k] = P .. "r:" .. queue .. "\n" .. kind end
  while allows_one_more(q) do
    best, of = next_of(all, ahead, taken, q.claims == 31)
    if not best then break end
    local j = load(unpad(best))
    local is_late = j and has_expired(j)
    if not j then
      note_in(lines, of, best, false)
      taken[best] = true
    elseif is_late and most_late > 0 then
      most_late = most_late - 1
      finish(j, "E", j.kp)
      settle()
      ahead = {}
    elseif number == most or is_late then
      break
    else
      claimed[#claimed + 1] = begin(j, q)
      number = number + 1
      taken[best] = true
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
