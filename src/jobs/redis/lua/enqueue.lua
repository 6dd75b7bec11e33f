-- Stores jobs: all or none.
-- ARGV: producer or "", number of 20 digits, how many, then each job.
-- Answers "new" or "again" and what became of each, "stale" and the last number, or "never" and the
-- place of a job that is to follow one that has never been.
local c = P .. "c:" .. ARGV[3]
if ARGV[3] ~= "" then
  local seen = call("GET", c)
  if seen then
    local last, placed = string.match(seen, "^(%d+)|(.*)$")
    if last == ARGV[4] then
      -- A write, so that the answer can wait for replicas.
      call("PEXPIRE", c, 3600000)
      return answer("again", placed)
    end
    if last > ARGV[4] then return answer("stale", last) end
  end
end
local jobs = {}
for place = 1, tonumber(ARGV[5]) do
  local n = read_job(6 + (place - 1) * WIDTH)
  n.last_parent = last_parent(n)
  jobs[place] = n
end
last_id = num(call("GET", P .. "id"))
for place, n in ipairs(jobs) do
  if n.last_parent > last_id then return answer("never", int(place - 1)) end
end
-- Refused if the memory is full.
call("INCRBY", P .. "id", 0)
local placed = {}
for i, n in ipairs(jobs) do placed[i] = place(n) end
placed = table.concat(placed, " ")
if ARGV[3] ~= "" then call("SET", c, ARGV[4] .. "|" .. placed, "PX", 3600000) end
return answer("new", placed)
