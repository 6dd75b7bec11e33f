-- ARGV: the job. Answers "settled", "requested" or "over".
pass()
local j = load(ARGV[3])
if not j or not is_live(j.s) then return answer("over") end
if j.s ~= "U" then
  cancel_now(j)
  return answer("settled")
end
if not j.ca then
  call("HSET", key(j), "ca", "1")
  -- The heartbeat of the session looks there.
  look_closer(j.ss, j.id, "c")
  send(call("HGET", P .. "i:" .. j.ss, "w") or "", "s" .. j.ss)
end
return answer("requested")
