--- Finds, in a JSON document, the URLs below certain keys. Pure.
--
-- Every string below such a key counts, at any depth and however often the key stands there: a reader that takes the first
-- of two equal keys and one that takes the last must not differ in what was looked at.

local json = require("media.json")

local urls = {}

local MAX_DEPTH = 64
local MAX_STRINGS = 200000
local LONGEST_KEY = 512
local LONGEST_URL = 4096

-- The URL a wanted string holds, or nil; and whether it is one that may not be fetched.
local function judged(text)
  text = text:match("^[%c ]*(.-)[%c ]*$")
  local scheme = (text:match("^(%a[%w+.-]*):") or ""):lower()
  if scheme == "http" or scheme == "https" then
    local odd = text:find("[%c ]") or #text > LONGEST_URL
    return not odd and text or nil, odd
  end
  -- A `data:` URI carries its medium, and the screen of the body has read it; "note: see below" is text.
  return nil, scheme ~= "data" and (text:find("^[/\\][/\\]") or text:find("^%a[%w+.-]*:[/\\]"))
end

--- The URLs below any of `keys` (a set), in order; and a fault code, or nil.
-- @param most how many there may be
function urls.find(data, keys, most)
  local found, stack, wanted, strings = {}, {}, false, 0
  local key_wanted = false
  local pos = 1
  while true do
    local open = data:find('"', pos, true)
    for mark in data:sub(pos, (open or #data + 1) - 1):gmatch("[%[%]{}]") do
      if mark == "{" or mark == "[" then
        if #stack >= MAX_DEPTH then
          return found, "media_too_complex"
        end
        stack[#stack + 1] = wanted
        wanted = wanted or key_wanted
        key_wanted = false
      else
        wanted = table.remove(stack) or false
        key_wanted = false
      end
    end
    if not open then
      return found, nil
    end
    strings = strings + 1
    local close = strings <= MAX_STRINGS and json.closing_quote(data, open + 1, math.huge)
    if not close then
      return found, strings > MAX_STRINGS and "media_too_complex" or "media_truncated"
    end
    local is_key = data:find("^%s*:", close + 1)
    if is_key then
      key_wanted = close - open <= LONGEST_KEY and keys[json.unescape(data:sub(open + 1, close - 1))] or false
    elseif wanted or key_wanted then
      local url, refused = judged(json.unescape(data:sub(open + 1, math.min(close - 1, open + 8 * LONGEST_URL))))
      if refused then
        return found, "media_url_refused"
      elseif url then
        if #found >= most then
          return found, "media_too_many"
        end
        found[#found + 1] = url
      end
    end
    pos = close + 1
  end
end

--- The parts of the helper's answer: for each URL a table of `code`, `total`, `type` and `data`; nil if it is none.
function urls.parts(answer, count)
  local parts, pos = {}, 1
  for _ = 1, count do
    local code, total, length, kind, next_pos = answer:match("^(%S+) (%d+) (%d+) (%S+)\n()", pos)
    if not code then
      return nil
    end
    local last = next_pos + tonumber(length) - 1
    parts[#parts + 1] = { code = code, total = tonumber(total), type = kind, data = answer:sub(next_pos, last) }
    pos = last + 1
  end
  return pos == #answer + 1 and parts or nil
end

return urls
