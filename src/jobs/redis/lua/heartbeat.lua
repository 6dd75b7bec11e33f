-- ARGV: session, lease, number of 20 digits, count, the ids that the consumer knows to have.
-- Answers whether it lives, how many it was relieved of, which to cancel, which it has not.
pass()
local session, settled = ARGV[3], ARGV[5]
local alive = call("ZSCORE", P .. "sessions", pad(session)) ~= false
if alive then call("ZADD", P .. "sessions", after(t, tonumber(ARGV[4])), pad(session)) end
local known, given_back, cancel, lost = {}, 0, {}, {}
for i = 7, 6 + tonumber(ARGV[6]) do known[ARGV[i]] = true end
local numbers = {}
local all = call("HGETALL", P .. "s:" .. session)
for i = 1, #all, 2 do numbers[all[i]] = all[i + 1] end
for _, id in ipairs(running_of(session)) do
  if not known[id] and string.sub(numbers[id], 1, 20) <= settled then
    local j = load(id)
    if j and j.s == "U" and j.ss == session then
      wait_again(j, "R")
      given_back = given_back + 1
    end
    numbers[id] = nil
  end
end
for i = 7, 6 + tonumber(ARGV[6]) do
  local id = ARGV[i]
  if not alive or not numbers[id] then
    lost[#lost + 1] = id
  elseif string.sub(numbers[id], 21) == "c" then
    cancel[#cancel + 1] = id
  end
end
return answer(
  alive and 1 or 0, int(given_back), table.concat(cancel, " "), table.concat(lost, " "))
