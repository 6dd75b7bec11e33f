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
--     np parents that have not ended, af parents, ch if ch:<id> or hl:<id> may be there,
--     en ended at, un kept until, p payload, m meta, er error, o output. A text is "=" and the text;
--     or a digit and the first part of the text, of which so many more are in p1, p2 and so on; or
--     "+" if it is in a key:
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
--                      s:<session>: hash from jobs to the numbers of their exchanges, with "c" if
--                      they are to be cancelled, or with their claims and queues if their ends
--                      are plain
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

-- A whole number as text. A call that is given a number takes longer to write it.
local function int(n) return string.format("%d", n) end
-- Without a number in between, which takes longer.
local function pad(id) return string.sub("0000000000000000", #id + 1) .. id end
local function unpad(m) return string.match(m, "[1-9]%d*") or "0" end
local function after(time, span) return math.min(time + span, LAST) end
-- Nothing, and an empty text, are 0.
local function num(text) return tonumber(text) or 0 end

-- Most of the time of a script goes into its calls. So what many jobs change in the same key is put
-- together, and written once at the end: counts, lines, what sessions run, which jobs there are, the
-- keys of those that are gone, and how many ids were given. What reads such a key after a write
-- must look there, too.
local counts, totals, news = {}, {}, {}
-- By line and member: the score, or false for one that leaves.
local lines = {}
-- By session and job: what the session has of it, or false if it does not run any more.
local runs = {}
-- By block and bit.
local bits = {}
-- The jobs that were removed, and all their keys.
local gone, gone_keys = {}, {}
local last_id, given = nil, 0

-- An entry of a table of tables.
local function note_in(all, name, member, value)
  local of = all[name]
  if not of then
    of = {}
    all[name] = of
  end
  of[member] = value
end

-- Calls a command with so many arguments as it can have.
local function call_all(command, key, arguments)
  for i = 1, #arguments, 2000 do
    call(command, key, unpack(arguments, i, math.min(i + 1999, #arguments)))
  end
end

-- Before a line is read.
local function flush_lines()
  for key, of in pairs(lines) do
    local add, remove = {}, {}
    for m, score in pairs(of) do
      if score then
        add[#add + 1] = score
        add[#add + 1] = m
      else
        remove[#remove + 1] = m
      end
    end
    call_all("ZADD", key, add)
    call_all("ZREM", key, remove)
  end
  lines = {}
end

local function flush_runs()
  for session, of in pairs(runs) do
    local set, unset = {}, {}
    for id, entry in pairs(of) do
      if entry then
        set[#set + 1] = id
        set[#set + 1] = entry
      else
        unset[#unset + 1] = id
      end
    end
    call_all("HSET", P .. "s:" .. session, set)
    call_all("HDEL", P .. "s:" .. session, unset)
  end
end

local function flush_bits()
  for n, of in pairs(bits) do
    local b, set, is_less = P .. "b:" .. n, {}, false
    for at, bit in pairs(of) do
      is_less = is_less or bit == 0
      local i = #set
      set[i + 1], set[i + 2], set[i + 3], set[i + 4] = "SET", "u1", at, bit
    end
    if call("EXISTS", b) == 0 then call("ZADD", P .. "blocks", n, n) end
    call_all("BITFIELD", b, set)
    if is_less and call("BITPOS", b, 1) == -1 then
      call("DEL", b)
      call("ZREM", P .. "blocks", n)
    end
  end
end
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
  flush_lines()
  flush_runs()
  flush_bits()
  if #gone_keys > 0 then call_all("DEL", P .. "none", gone_keys) end
  if given > 0 then call("INCRBY", P .. "id", given) end
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
  if gone[id] then return nil end
  local all = call("HGETALL", P .. "j:" .. id)
  if #all == 0 then return nil end
  -- With room for what most jobs have, so that it need not grow.
  local j = {
    id = id, s = nil, q = nil, k = nil, at = nil, p = nil, p1 = nil, c = nil, bg = nil, ss = nil,
    pr = nil, fl = nil, kp = nil, du = nil, xp = nil,
  }
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

-- Nothing but the job, its place in its session and the counts change if it succeeds, and is not to
-- be kept. Then its end is known without a look at it: most of the time of an end goes into that.
local function has_plain_end(j)
  return not (j.u or j.ln or j.af or j.ch or j.w or j.kp)
    and j.p ~= "+" and j.m ~= "+" and j.er ~= "+"
end
local function plain_entry(number, claim, q) return number .. " " .. claim .. " " .. q end

-- The end of a running job is not plain any more.
local function look_closer(session, id, mark)
  local s = P .. "s:" .. session
  local entry = call("HGET", s, id)
  local is_plain = entry and string.sub(entry, 21, 21) == " "
  if is_plain or mark then call("HSET", s, id, string.sub(entry, 1, 20) .. (mark or "")) end
end

local function text(j, f)
  local v = j[f]
  if not v then return false end
  local first = string.sub(v, 1, 1)
  if first == "=" then return string.sub(v, 2) end
  if first == "+" then return call("GET", P .. f .. ":" .. j.id) or "" end
  local parts, more = {string.sub(v, 2)}, tonumber(first)
  if not j[f .. 1] then
    local names = {}
    for i = 1, more do names[i] = f .. i end
    for i, part in ipairs(call("HMGET", P .. "j:" .. j.id, unpack(names))) do j[f .. i] = part end
  end
  for i = 1, more do parts[i + 1] = j[f .. i] or "" end
  return table.concat(parts)
end

-- Adds a text to the fields that are written at once afterwards. A value of a listpack has at most
-- 64 bytes. Parts of a longer text before it may stay: the digit does not count them.
local function put(fields, j, f, value)
  local more = math.ceil((#value - 63) / 64)
  if more > 8 then
    call("SET", P .. f .. ":" .. j.id, value)
    j[f] = "+"
  else
    if j[f] == "+" then call("DEL", P .. f .. ":" .. j.id) end
    j[f] = (more > 0 and int(more) or "=") .. string.sub(value, 1, 63)
  end
  fields[#fields + 1] = f
  fields[#fields + 1] = j[f]
  if more > 8 then return end
  for i = 1, more do
    local part = string.sub(value, 64 * i, 64 * i + 63)
    j[f .. i] = part
    fields[#fields + 1] = f .. i
    fields[#fields + 1] = part
  end
end

-- Which jobs there are.
local function note(id, bit)
  local n = math.floor(tonumber(id) / BLOCK)
  note_in(bits, int(n), int(tonumber(id) - n * BLOCK), bit)
end

local function remove(j)
  gone[j.id] = true
  gone_keys[#gone_keys + 1] = key(j)
  if j.p == "+" then gone_keys[#gone_keys + 1] = P .. "p:" .. j.id end
  if j.m == "+" then gone_keys[#gone_keys + 1] = P .. "m:" .. j.id end
  if j.er == "+" then gone_keys[#gone_keys + 1] = P .. "er:" .. j.id end
  if j.o == "+" then gone_keys[#gone_keys + 1] = P .. "o:" .. j.id end
  if j.un then
    call("ZREM", P .. "kept", pad(j.id))
    if j.s == "X" then call("ZREM", P .. "dead", pad(j.id)) end
    if j.ch then call("DEL", P .. "hl:" .. j.id) end
  end
  note(j.id, 0)
end

-- Takes a live job out of where its state has it.
local function leave(j)
  if j.s == "S" then
    call("ZREM", P .. "due", pad(j.id))
  elseif j.s == "R" or j.s == "L" then
    note_in(lines, line(j), pad(j.id), false)
  elseif j.s == "U" then
    note_in(runs, j.ss, j.id, false)
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
    note_in(lines, line(j), m, int(-num(j.pr)))
    news[j.q] = true
  elseif not waits_for_parents(j) then
    call("ZADD", P .. "bl:" .. j.ln, 0, m)
  end
  count(j.q, s, 1)
end

-- The members of jobs that had expired when they took their lanes: `end_late` ends them.
local late = {}
local function take_lane(j)
  call("SET", P .. "l:" .. j.ln, j.id)
  if has_expired(j) then late[#late + 1] = pad(j.id) end
end

-- The job waits for nothing but its lane and a consumer.
local function line_up(j, s, ...)
  if j.ln then
    local holder = call("GET", P .. "l:" .. j.ln)
    if holder and holder ~= j.id then return enter(j, "B", ...) end
    if not holder then take_lane(j) end
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
      take_lane(next)
      return enter(next, "R")
    end
    call("ZREM", P .. "bl:" .. j.ln, m)
  end
end
