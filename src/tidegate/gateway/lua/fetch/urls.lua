--- Finds, in a JSON document, the URLs below certain keys. Pure.
--
-- Every string below such a key counts, at any depth and however often the key stands there: a reader that takes the first
-- of two equal keys and one that takes the last must not differ in what was looked at.

local urls = {}

local MAX_DEPTH = 64
local MAX_STRINGS = 200000
local LONGEST_KEY = 512
local LONGEST_URL = 4096
local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function unescape(text)
  if not text:find("\\", 1, true) then
    return text
  end
  text = text:gsub("\\u(%x%x%x%x)", function(hex)
    local code = tonumber(hex, 16)
    -- The marks for a backslash and a quote stay escaped, so that they do not escape what follows.
    return code < 128 and (code == 0x5C and "\\\\" or string.char(code)) or "\xEF\xBF\xBD"
  end)
  return (text:gsub("\\(.)", function(c)
    return ESCAPES[c] or c
  end))
end

-- The quote that ends the string beginning at `first`.
local function closing_quote(data, first)
  local at = first
  while true do
    local quote = data:find('"', at, true)
    if not quote then
      return nil
    end
    local slash = quote
    while slash > first and data:byte(slash - 1) == 0x5C do
      slash = slash - 1
    end
    if (quote - slash) % 2 == 0 then
      return quote
    end
    at = quote + 1
  end
end

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
    local close = strings <= MAX_STRINGS and closing_quote(data, open + 1)
    if not close then
      return found, strings > MAX_STRINGS and "media_too_complex" or "media_truncated"
    end
    local is_key = data:find("^%s*:", close + 1)
    if is_key then
      key_wanted = close - open <= LONGEST_KEY and keys[unescape(data:sub(open + 1, close - 1))] or false
    elseif wanted or key_wanted then
      local url, refused = judged(unescape(data:sub(open + 1, math.min(close - 1, open + 8 * LONGEST_URL))))
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
