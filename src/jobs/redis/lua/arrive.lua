-- The first script on each connection. A server that has restarted, or that took the place of
-- another one, may have lost what was stored last, and with it the ids that were given. An end that
-- a consumer still has for such a job must not be taken for that of a new one. So the ids begin
-- anew beyond all that may have been given since its last snapshot.
pass()
local run = string.match(call("INFO", "server"), "run_id:(%w+)") or ""
local before = call("GET", P .. "run")
if before ~= run then
  if before or call("EXISTS", P .. "id") == 1 then call("INCRBY", P .. "id", 1000000000) end
  call("SET", P .. "run", run)
end
return answer(1)
