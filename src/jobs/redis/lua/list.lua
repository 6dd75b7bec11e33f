-- Lists jobs. ARGV: as of the filter, with whether payloads are wanted as the one before the ids.
-- Answers up to which id it has looked, if there may be more, and the jobs.
local found = {}
local _, last = each(function(j)
  found[#found + 1] = {
    j.id, j.q, j.k, j.pr or "0", j.s, j.at, int(due(j)), j.bg or false, j.en or false, j.c or "0",
    j.f or "0", j.x or "0", j.s == "U" and j.ss or false, j.ln or false, j.np or "0",
    j.xp and not j.bg and is_waiting(j) and int(after(due(j), num(j.xp))) or false, j.kp or false,
    j.u and string.sub(j.u, 2) or false, j.mx or "3", j.fl or "0", text(j, "er"), text(j, "m"),
    ARGV[11] == "1" and text(j, "p") or "",
  }
  return true
end)
return answer(last, found)
