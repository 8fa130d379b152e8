--- Media as base64 text: `data:` URIs, URL-safe letters, line breaks, what JSON or a form escapes.
--
-- Receivers differ in what they forgive, so everything that is no letter of the alphabet is passed over, as the most
-- forgiving ones do. Text is decoded from the front as far as a reader asks.

local source = require("media.source")

local base64 = {}

local VALUE = {}
for i, c in ipairs({ ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):byte(1, 64) }) do
  VALUE[c] = i - 1
end

local PADDING = { [0] = "", nil, "==", "=" }

--- Decodes strictly; nil for text that is not whole groups of the plain alphabet with its padding.
function base64.decode(text)
  local out, n = {}, 0
  local stop = #text
  if stop % 4 ~= 0 then
    return nil
  end
  local pads = text:sub(-2) == "==" and 2 or text:sub(-1) == "=" and 1 or 0
  local byte, char = string.byte, string.char
  for i = 1, stop - (pads > 0 and 4 or 0), 4 do
    local a, b, c, d = byte(text, i, i + 3)
    a, b, c, d = VALUE[a], VALUE[b], VALUE[c], VALUE[d]
    if not (a and b and c and d) then
      return nil
    end
    n = n + 1
    out[n] = char(a << 2 | b >> 4, (b & 15) << 4 | c >> 2, (c & 3) << 6 | d)
  end
  if pads > 0 then
    local a, b, c = byte(text, stop - 3, stop - 1)
    a, b, c = VALUE[a], VALUE[b], pads == 2 and 0 or VALUE[c]
    if not (a and b and c) then
      return nil
    end
    n = n + 1
    out[n] = char(a << 2 | b >> 4, (b & 15) << 4 | c >> 2):sub(1, 3 - pads)
  end
  return table.concat(out)
end

--- The first byte that two or more letters of the plain alphabet stand for.
function base64.first_byte(letters)
  local a, b = letters:byte(1, 2)
  return VALUE[a] << 2 | VALUE[b] >> 4
end

--- The letters of the URL-safe alphabet that differ, and what they are in the plain one.
base64.URL_SAFE = { ["-"] = "+", ["_"] = "/" }

-- The letters alone, in the plain alphabet, without padding. Slow: for text that is not letters throughout.
local function clean(text)
  text = text:gsub("[-_]", base64.URL_SAFE):gsub("[^%w+/=]+", "")
  local first = text:find("=", 1, true)
  if first then
    if text:find("[^=]", first) then -- more behind the padding: receivers disagree about what that is
      error(source.CONTRADICTORY, 0)
    end
    text = text:sub(1, first - 1)
  end
  if #text % 4 == 1 then -- a letter too many; receivers drop it or refuse
    text = text:sub(1, -2)
  end
  return text
end

-- What may stand behind the letters: padding and line breaks.
local BEHIND = { [0x3D] = true, [0x20] = true, [0x0A] = true, [0x0D] = true, [0x09] = true }

--- A source over the base64 text data[first..last].
-- Text is decoded strictly as far as it goes. Where that fails it is taken as the most forgiving receiver would.
-- @param unescape what must be done to the text first, as it is written in JSON or in a form; nil for nothing
-- @param native   a strict decoder in C: nil or "" for text that is not base64
function base64.source(data, first, last, unescape, native)
  local decode = native or base64.decode
  if unescape then
    data = unescape(data:sub(first, last))
    first, last = 1, #data
  end
  while last >= first and BEHIND[data:byte(last)] do
    last = last - 1
  end
  local cleaned = false
  local made
  made = source.lazy((last - first + 1) * 3 // 4, function(n)
    for _ = 1, 2 do
      local text = data:sub(first, math.min(last, first + (n + 2) // 3 * 4 - 1))
      local padding = PADDING[#text % 4]
      local decoded = padding and decode(text .. padding)
      if decoded and decoded ~= "" then
        return decoded
      elseif cleaned then
        break
      end
      data, cleaned = clean(data:sub(first, last)), true
      first, last = 1, #data
      made.total = last * 3 // 4
      n = math.min(n, made.total)
    end
    return ""
  end)
  return made
end

return base64
