--- The parts of a multipart body (RFC 2046, RFC 7578), as the more forgiving receivers split it.

local multipart = {}

local MAX_PARTS = 4096
local MAX_HEAD = 16384

-- Whether the parameter ends with the quoted value that begins at `at`, and what stands between its quotes, as written.
local function quoted(text, at)
  local pos = at + 1
  while true do
    local stop = text:find('["\\]', pos)
    if not stop then
      return false
    elseif text:byte(stop) == 0x22 then
      local inside = text:sub(at + 1, stop - 1)
      return (text:find("^%s*;", stop + 1) or text:find("^%s*$", stop + 1)) ~= nil, inside
    end
    pos = stop + 2
  end
end

-- The values that receivers may take for the boundary; the first is the one that RFC 2046 means.
local function readings(text, at)
  if text:byte(at) ~= 0x22 then
    local whole = text:match("^[^;]*", at):gsub("%s+$", "")
    return { whole, whole:match("^[^,%s]*"), whole:match("^[^,]*"), whole:match("^%S*") } -- none may end at these, some do
  end
  local ended, inside = quoted(text, at)
  if not ended then
    return nil
  end
  return { (inside:gsub("\\(.)", "%1")), inside, (inside:gsub("%s+$", "")) }
end

local LONGEST = 256

--- The boundary a Content-Type names, and what else a receiver may take for it. Nil when there is none or more than one.
function multipart.boundary(content_type)
  local lower = content_type:lower()
  local _, at = lower:find("[;%s]boundary%s*=%s*")
  if not at or lower:find("[;%s]boundary%s*=", at) or lower:find("[;%s]boundary%s*%*") then
    return nil
  end
  local found = readings(content_type, at + 1)
  if not found or found[1] == "" or #found[1] > LONGEST then
    return nil
  end
  local others = {}
  for k = 2, #found do
    if found[k] ~= "" and found[k] ~= found[1] then
      others[#others + 1] = found[k]
    end
  end
  return found[1], others
end

-- The next delimiter from `pos`: where its line begins (the line break before it included), where the next line begins,
-- and whether it is the closing one. A line that only begins like the delimiter is content.
local function delimiter(data, mark, pos, first, last)
  while true do
    local from, to = data:find(mark, pos, true)
    if not from or to > last then
      return nil
    end
    if from == first or data:byte(from - 1) == 10 then
      local closing = data:sub(to + 1, to + 2) == "--"
      local _, newline = data:find("^[ \t]*\r?\n", to + 1)
      if closing or newline then
        local cr = from > first and data:byte(from - 2) == 13
        return from == first and first or cr and from - 2 or from - 1, newline and newline + 1, closing
      end
    end
    pos = from + 1
  end
end

-- Header fields of a part by lower-case name, and where its content begins.
local function head(data, pos, last)
  local fields = {}
  local limit = math.min(last, pos + MAX_HEAD)
  while pos <= limit do
    local newline = data:find("\n", pos, true)
    if not newline or newline > limit then
      return nil
    end
    local line = data:sub(pos, newline - 1):gsub("\r$", "")
    pos = newline + 1
    if line == "" then
      return fields, pos
    end
    local name, value = line:match("^([^:%s]+)%s*:%s*(.*)$")
    if name then
      fields[name:lower()] = value
    end
  end
  return nil
end

--- Whether one of these other readings of the boundary splits data[first..last] as well: receivers would see other parts.
function multipart.ambiguous(data, first, last, others)
  for _, other in ipairs(others) do
    if delimiter(data, "--" .. other, first, first, last) then
      return true
    end
  end
  return false
end

--- Calls `each(fields, first, last)` for the parts in data[first..last]. Returns a fault code or nil.
function multipart.parts(data, first, last, boundary, each)
  local mark = "--" .. boundary
  local found, pos, closing = delimiter(data, mark, first, first, last)
  if not found then
    return "media_malformed"
  end
  for _ = 1, MAX_PARTS do
    if closing then
      return nil
    end
    local fields, content = head(data, pos, last)
    if not fields then
      return "media_malformed"
    end
    -- An empty part's delimiter takes the line break that ended its head.
    local stop
    stop, pos, closing = delimiter(data, mark, content - 1, first, last)
    if not stop then
      return "media_truncated"
    end
    each(fields, content, stop - 1)
  end
  return "media_too_complex"
end

return multipart
