-- Finds jobs by a filter, a part at a time. Goes before `list` and `change`.
-- ARGV: after which id, at most so many, look at so many, state or "", queue or "", kind or "",
--   ended before or "", count of ids or "-", the ids in their order.
local FIRST = 12
local after_id, most, looks = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function is_meant(j)
  local s = j.s == "L" and "R" or j.s
  return (ARGV[6] == "" or ARGV[6] == s) and (ARGV[7] == "" or ARGV[7] == j.q)
    and (ARGV[8] == "" or ARGV[8] == j.k)
    and (ARGV[9] == "" or (j.en ~= nil and t - tonumber(j.en) >= tonumber(ARGV[9])))
    and not is_forgotten(j)
end

-- The next ids, at most so many as are looked at, and whether there are more.
local function next_ids()
  local ids = {}
  if ARGV[10] ~= "-" then
    for i = FIRST, FIRST - 1 + tonumber(ARGV[10]) do
      if #ids == looks then return ids, true end
      if tonumber(ARGV[i]) > after_id then ids[#ids + 1] = ARGV[i] end
    end
    return ids, false
  end
  local n = math.floor(after_id / BLOCK)
  local blocks = call("ZRANGEBYSCORE", P .. "blocks", n, "+inf", "LIMIT", 0, 100)
  for _, block in ipairs(blocks) do
    local bits, base = call("GET", P .. "b:" .. block) or "", tonumber(block) * BLOCK
    for at = 1, #bits do
      local byte = string.byte(bits, at)
      if byte > 0 then
        for bit = 0, 7 do
          local id = base + (at - 1) * 8 + bit
          if math.floor(byte / 2 ^ (7 - bit)) % 2 == 1 and id > after_id then
            if #ids == looks then return ids, true end
            ids[#ids + 1] = int(id)
          end
        end
      end
    end
  end
  if #blocks == 100 then
    -- Those were few, and there may be more blocks.
    return ids, true, (tonumber(blocks[100]) + 1) * BLOCK - 1
  end
  return ids, false
end

-- Calls `act` with jobs that are meant until it was true so often as is asked for. Returns how
-- often, and the id up to which it has looked, if there may be more.
local function each(act)
  local ids, has_more, last = next_ids()
  local acted = 0
  for i, id in ipairs(ids) do
    if acted == most then return acted, ids[i - 1] or int(after_id) end
    if ARGV[6] == "" or ARGV[6] == (call("HGET", P .. "j:" .. id, "s") or "-")
      or ARGV[6] == "R" then
      local j = load(id)
      if j and is_meant(j) and act(j) then acted = acted + 1 end
    end
  end
  if not has_more then return acted, false end
  return acted, last and int(last) or ids[#ids]
end
