--- What strings in a JSON document are: where they end, and what they say.

local json = {}

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

--- What the inside of a string says. Characters beyond ASCII that are written as escapes become U+FFFD.
function json.unescape(text)
  if not text:find("\\", 1, true) then
    return text
  end
  text = text:gsub("\\u(%x%x%x%x)", function(hex)
    local code = tonumber(hex, 16)
    -- The mark for a backslash stays escaped, so that it does not escape what follows.
    return code < 128 and (code == 0x5C and "\\\\" or string.char(code)) or "\xEF\xBF\xBD"
  end)
  return (text:gsub("\\(.)", function(c)
    return ESCAPES[c] or c
  end))
end

--- The quote that ends the string which begins at `first`, nil when there is none; and what is left of `marks`, the quotes
-- that may be looked at. Below 0 the end was not found for want of them.
function json.closing_quote(data, first, marks)
  local at = first
  while true do
    marks = marks - 1
    local quote = marks >= 0 and data:find('"', at, true)
    if not quote then
      return nil, marks
    end
    local slash = quote
    while slash > first and data:byte(slash - 1) == 0x5C do
      slash = slash - 1
    end
    if (quote - slash) % 2 == 0 then
      return quote, marks
    end
    at = quote + 1
  end
end

return json
