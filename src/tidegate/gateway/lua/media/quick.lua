--- The most frequent raw body by the shortest way: a JPEG whose segments follow one another up to its scan, read from
-- hexadecimal digits by patterns. It says what `still.jpeg` and `facts.record` say or nothing; then these are asked.

local source = require("media.source")
local facts = require("media.facts")
local still = require("media.still")

local quick = {}

-- Segments that have a length and end where it says: tables, application data, comments.
local SKIPPED = { C4 = true, DB = true, DD = true, FE = true }
for n = 0, 15 do
  SKIPPED[string.format("E%X", n)] = true
end

-- Frame headers of pictures coded after Huffman.
local FRAME = { C0 = true, C1 = true, C2 = true }

local MOST_SEGMENTS = 64

-- Width and height, or nil for what has to be read with more care. Two digits a byte, so `at` is always odd.
local function jpeg(digits)
  local width, height
  local at = 5
  for _ = 1, MOST_SEGMENTS do
    local marker, length = digits:match("^FF(%x%x)(%x%x%x%x)", at)
    if marker == "DA" then
      return width, height
    end
    length = tonumber(length or "0", 16)
    if FRAME[marker] and not width and length >= 8 then
      height, width = digits:match("^(%x%x%x%x)(%x%x%x%x)", at + 10)
      if not width then
        return nil
      end
      width, height = tonumber(width, 16), tonumber(height, 16)
    elseif not SKIPPED[marker] or length < 2 then
      return nil
    end
    at = at + 4 + 2 * length
  end
  return nil
end

--- The record of a body of `total` bytes that begins with these upper-case digits; nil when it is not as simple as that.
function quick.record(digits, total, limits)
  if digits:sub(1, 6) ~= "FFD8FF" then
    return nil
  end
  local width, height = jpeg(digits)
  local pixels = width and width * height or 0
  if pixels == 0 or pixels > still.most_pixels(total) or total > source.MAX_NUMBER then
    return nil
  end
  return facts.picture("jpeg", width, height, total, facts.limits(limits))
end

return quick
