-- ARGV: the session. Answers how many of its jobs are ready.
pass()
local session, ready = ARGV[3], 0
for _, id in ipairs(running_of(session)) do
  local j = load(id)
  if j and j.s == "U" and j.ss == session then
    if has(j.fl, 1) then
      die(j, "its session was closed; at most once")
    elseif wait_again(j, "R") then
      ready = ready + 1
    end
  end
end
drop_session(session)
return answer(int(ready))
