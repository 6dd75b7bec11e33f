-- Goes before each script.
--
-- KEYS[1]: the prefix of all keys, "{namespace}:". The braces put all keys into one hash slot.
-- ARGV[1]: the time in ms, or "" for the server's. ARGV[2]: the number of the request, which the
-- reply repeats. The rest is the script's.
--
-- A script is not rolled back, so it checks what it is given before its first write. If the memory
-- is full, Redis refuses a script at its first write, if that one needs memory. So scripts that
-- must pass begin with a deletion, and those that must not begin with an increment.
--
-- Keys, without the prefix:
--   id, sid            the last id of a job, of a session
--   j:<id>             hash, a job. Its fields:
--     s state: S scheduled, B blocked, R ready, L ready since its session was lost, U running,
--       D done, X dead, C cancelled, E expired
--     q queue, k kind, pr priority, at enqueued at, du due at (if not at once), bg began at,
--     xp expires after, kp kept for, mx most crashes (if not 3), fl flags: 1 at most once, 2 even
--     if failed, c claims, f failures, x crashes, ss session, ca to be cancelled, w inboxes of
--     those that watch, u unique key, us its scope (e ended, s started, t time), ln lane,
--     np parents that have not ended, af parents, en ended at, un kept until, hd held by children,
--     p payload, m meta, er error, o output: "=" and the text, or "+" if it is in a key:
--   p:<id> m:<id> er:<id> o:<id>   long texts, so that the hash of the job stays a listpack
--   b:<n>              bitmap of the jobs with the ids from 4096 n; blocks: zset of the n
--   r:<queue>\n<kind>  zset of ready jobs by -priority, then by id, which is a member of 16 digits
--   due, exp           zsets of waiting jobs, by when they are due and when they expire
--   dead, kept         zsets of ended jobs, by when they died, and until when they are kept
--   l:<lane>           the job that has the lane; bl:<lane>: zset of those that wait for it
--   ch:<id>            set of the jobs that wait for this one; hl:<id>: of live jobs that follow it,
--                      and for which its outcome is kept
--   u:<kind>\n<key>    the id of the job that has the key, and the time until which; ut: those times
--   q:<queue>          hash: counts S B R U, c claims modulo 32, settings; queues: set of them
--   sessions           zset, by the ends of the leases; i:<session>: hash of info and number;
--                      s:<session>: hash from jobs to the numbers of their exchanges
--   c:<producer>       the number of its last batch, and the answer
--   h:<schedule>       hash; schedules: set of them
--   st, version, run   hash of totals; version of what is stored; which run of the server it was
--   wake:<queue>       list with a token if there is news; in:<process>: list of ended jobs
local P, call = KEYS[1], redis.call
local LAST = 9007199254740991 -- the last time there is, and never reached
local MONTH, MINUTE, MOST_DEAD = 2592000000, 60000, 100000
local BLOCK = 4096
local t
if ARGV[1] ~= "" then
  t = tonumber(ARGV[1])
else
  local time = call("TIME")
  t = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function int(n) return string.format("%.0f", n) end
local function pad(id) return string.format("%016.0f", tonumber(id)) end
local function unpad(m) return int(tonumber(m)) end
local function after(time, span) return math.min(time + span, LAST) end
-- Nothing, and an empty text, are 0.
local function num(text) return tonumber(text) or 0 end

-- Counts are added up, and written once at the end.
local counts, totals, news = {}, {}, {}
local function count(q, s, n)
  if s == "L" then s = "R" end
  local of = counts[q]
  if not of then
    of = {}
    counts[q] = of
  end
  of[s] = (of[s] or 0) + n
end
local function total(what, n) totals[what] = (totals[what] or 0) + (n or 1) end

-- Removes a queue of which nothing is left but the number of its claims.
local function trim(q)
  local key = P .. "q:" .. q
  if call("HLEN", key) <= call("HEXISTS", key, "c") then
    call("DEL", key)
    call("SREM", P .. "queues", q)
  end
end

local function flush()
  for q, of in pairs(counts) do
    local key, is_less = P .. "q:" .. q, false
    for s, n in pairs(of) do
      if n > 0 then call("SADD", P .. "queues", q) end
      if n ~= 0 and call("HINCRBY", key, s, n) == 0 then
        call("HDEL", key, s)
        is_less = true
      end
    end
    if is_less then trim(q) end
  end
  for what, n in pairs(totals) do call("HINCRBY", P .. "st", what, n) end
  for q in pairs(news) do
    local key = P .. "wake:" .. q
    if call("EXISTS", key) == 0 then
      call("LPUSH", key, q)
      call("PEXPIRE", key, MINUTE)
    end
  end
end

local function answer(...)
  flush()
  return {ARGV[2], ...}
end

-- The first write of a script that must pass if the memory is full.
local function pass() call("DEL", P .. "none") end

-- A job, by its id as text. What else it has is in its fields.
local function load(id)
  local all = call("HGETALL", P .. "j:" .. id)
  if #all == 0 then return nil end
  local j = {id = id}
  for i = 1, #all, 2 do j[all[i]] = all[i + 1] end
  return j
end

local function key(j) return P .. "j:" .. j.id end
local function line(j) return P .. "r:" .. j.q .. "\n" .. j.k end
local function due(j) return num(j.du or j.at) end
local function has(flags, bit) return math.floor(num(flags) / bit) % 2 == 1 end
local function is_waiting(j) return j.s == "S" or j.s == "B" or j.s == "R" or j.s == "L" end
local function is_live(s) return s == "S" or s == "B" or s == "R" or s == "L" or s == "U" end
-- Its time is over, though no sweep has removed it.
local function is_forgotten(j) return j.un ~= nil and num(j.un) <= t end
local function waits_for_parents(j) return num(j.np) > 0 end
local function has_expired(j)
  return j.xp ~= nil and not j.bg and is_waiting(j) and after(due(j), num(j.xp)) <= t
end

local function text(j, f)
  local v = j[f]
  if not v then return false end
  if v == "+" then return call("GET", P .. f .. ":" .. j.id) or "" end
  return string.sub(v, 2)
end

-- Only for a field that is written at once afterwards: returns what to write.
local function put(j, f, value)
  if #value < 64 then
    if j[f] == "+" then call("DEL", P .. f .. ":" .. j.id) end
    j[f] = "=" .. value
  else
    call("SET", P .. f .. ":" .. j.id, value)
    j[f] = "+"
  end
  return j[f]
end

-- Which jobs there are.
local function note(id)
  local n = math.floor(tonumber(id) / BLOCK)
  local b = P .. "b:" .. int(n)
  if call("EXISTS", b) == 0 then call("ZADD", P .. "blocks", n, int(n)) end
  call("SETBIT", b, tonumber(id) - n * BLOCK, 1)
end

local function remove(j)
  local keys = {key(j)}
  for _, f in ipairs({"p", "m", "er", "o"}) do
    if j[f] == "+" then keys[#keys + 1] = P .. f .. ":" .. j.id end
  end
  call("DEL", unpack(keys))
  if j.un then
    call("ZREM", P .. "kept", pad(j.id))
    if j.s == "X" then call("ZREM", P .. "dead", pad(j.id)) end
    call("DEL", P .. "hl:" .. j.id)
  end
  local n = math.floor(tonumber(j.id) / BLOCK)
  local b = P .. "b:" .. int(n)
  call("SETBIT", b, tonumber(j.id) - n * BLOCK, 0)
  if call("BITPOS", b, 1) == -1 then
    call("DEL", b)
    call("ZREM", P .. "blocks", int(n))
  end
end

-- Takes a live job out of where its state has it.
local function leave(j)
  if j.s == "S" then
    call("ZREM", P .. "due", pad(j.id))
  elseif j.s == "R" or j.s == "L" then
    call("ZREM", line(j), pad(j.id))
  elseif j.s == "U" then
    call("HDEL", P .. "s:" .. j.ss, j.id)
  elseif not waits_for_parents(j) then
    call("ZREM", P .. "bl:" .. j.ln, pad(j.id))
  end
  count(j.q, j.s, -1)
end

-- Puts a job that waits where its new state has it. `...` are other fields to write.
local function enter(j, s, ...)
  call("HSET", key(j), "s", s, ...)
  if j.ss then
    call("HDEL", key(j), "ss")
    j.ss = nil
  end
  j.s = s
  local m = pad(j.id)
  if s == "S" then
    call("ZADD", P .. "due", due(j), m)
    if call("ZRANGE", P .. "due", 0, 0)[1] == m then news[j.q] = true end
  elseif s ~= "B" then
    call("ZADD", line(j), -num(j.pr), m)
    news[j.q] = true
  elseif not waits_for_parents(j) then
    call("ZADD", P .. "bl:" .. j.ln, 0, m)
  end
  count(j.q, s, 1)
end

-- The job waits for nothing but its lane and a consumer.
local function line_up(j, s, ...)
  if j.ln then
    local holder = call("GET", P .. "l:" .. j.ln)
    if holder and holder ~= j.id then return enter(j, "B", ...) end
    if not holder then call("SET", P .. "l:" .. j.ln, j.id) end
  end
  enter(j, s, ...)
end

-- The job waits for no other one.
local function wait_for_time(j, ...)
  if due(j) > t then enter(j, "S", ...) else line_up(j, "R", ...) end
end

-- The job leaves its lane, if it has it.
local function pass_lane(j)
  local lane = P .. "l:" .. j.ln
  if call("GET", lane) ~= j.id then return end
  while true do
    local m = call("ZRANGE", P .. "bl:" .. j.ln, 0, 0)[1]
    if not m then
      call("DEL", lane)
      return
    end
    local next = load(unpad(m))
    if next and next.s == "B" then
      leave(next)
      call("SET", lane, next.id)
      return enter(next, "R")
    end
    call("ZREM", P .. "bl:" .. j.ln, m)
  end
end
