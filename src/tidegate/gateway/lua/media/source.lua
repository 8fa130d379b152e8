--- Where a reader takes its bytes from: a stretch of the request body, or base64 text decoded as far as it is read.
--
-- A reader asks `src:at(offset, n)` and gets a string and the index in it from which `n` bytes are there: nothing is
-- copied. It never sees a short read: asking past the end raises.
--   source.TRUNCATED  the medium ends before the byte that its own header promises
--   source.MORE       the byte exists, but not in the window at hand; read again with a larger one
--   source.WHOLE      the same, and no window will do: the whole body is wanted
-- `src.total` is the size of the medium in bytes.

local source = {}

source.TRUNCATED = { code = "media_truncated" }
source.MORE = { code = "more" }
source.WHOLE = { code = "whole" }
source.CONTRADICTORY = { code = "media_contradictory" }
source.COMPLEX = { code = "media_too_complex" }

--- Spends one of the boxes or elements that a file may have (`state.budget` are left).
function source.spend(state)
  state.budget = state.budget - 1
  if state.budget < 0 then
    error(source.COMPLEX, 0)
  end
end

local Source = {}
Source.__index = Source

-- Offsets come from the file and may be anything that fits 64 bits: only differences are taken, which cannot wrap round.
function Source:at(offset, n)
  if offset < 0 or n > self.size - offset then
    if offset < 0 or n > self.total - offset then
      error(source.TRUNCATED, 0)
    end
    if not self.extend then
      error(source.MORE, 0)
    end
    self:extend(offset + n)
    if n > self.size - offset then
      error(source.TRUNCATED, 0)
    end
  end
  return self.data, self.first + offset
end

--- The byte at `offset`, 0 to 255.
function Source:byte(offset)
  local data, i = self:at(offset, 1)
  return data:byte(i)
end

--- `n` bytes as a string. For short things: names, tags.
function Source:text(offset, n)
  local data, i = self:at(offset, n)
  return data:sub(i, i + n - 1)
end

--- string.unpack at `offset`; `n` is the number of bytes the format takes.
function Source:unpack(format, n, offset)
  local data, i = self:at(offset, n)
  return string.unpack(format, data, i)
end

--- Everything up to the end is at hand after this (or WHOLE is raised).
function Source:all()
  if self.size < self.total then
    if not self.extend then
      error(source.WHOLE, 0)
    end
    self:extend(self.total) -- which may find that there is less than the text promised
  end
  return self
end

--- `size` bytes of `data` from index `first`; `total` is the whole medium's size where only its front is at hand.
function source.bytes(data, first, size, total)
  return setmetatable({ data = data, first = first, size = size, total = total or size }, Source)
end

-- For a piece of something longer: no reader may conclude anything from its end.
source.ENDLESS = 1 << 53

-- No size, number or time in a file of today is larger: two of them multiplied still fit 64 bits where it matters, and what
-- claims more is refused by its reader.
source.MAX_SIDE = (1 << 31) - 1
source.MAX_NUMBER = 1 << 53

-- Hexadecimal digits, from which only what a reader asks for is made into bytes.
local Digits = { byte = Source.byte, text = Source.text, unpack = Source.unpack, all = Source.all }
Digits.__index = Digits

-- What is asked for at once from digits; for more, a window of bytes is the cheaper one.
local MOST_DIGITS = 128

local CHARACTER, PACKED = {}, {}
for code = 0, 255 do
  CHARACTER[string.format("%02X", code)] = string.char(code)
end
for n = 1, 8 do
  PACKED[n] = ">I" .. n
end

function Digits:at(offset, n)
  if offset < 0 or n > self.size - offset then
    error((offset < 0 or n > self.total - offset) and source.TRUNCATED or source.MORE, 0)
  end
  local digits = self.digits:sub(2 * offset + 1, 2 * (offset + n))
  local packed = PACKED[n]
  if packed then
    return packed:pack(tonumber(digits, 16)), 1
  elseif n > MOST_DIGITS then
    error(source.MORE, 0)
  end
  return digits:gsub("..", CHARACTER), 1
end

--- `size` bytes as twice as many upper-case hexadecimal digits at the beginning of `digits`; `total` as in `source.bytes`.
function source.digits(digits, size, total)
  return setmetatable({ digits = digits, size = size, total = total }, Digits)
end

--- A source whose bytes come from `decode(n)`: returns the first `n` bytes or more (all, when there are fewer).
function source.lazy(total, decode)
  local made = source.bytes("", 1, 0, total)
  function made:extend(wanted)
    -- Grow in steps of eight, so all the decoding together stays below 8/7 of the last one.
    local goal = math.max(wanted, 8 * self.size, 384)
    self.data = decode(math.min(goal, self.total))
    self.size = #self.data
    if self.size >= self.total or self.size < wanted then
      self.total = self.size
    end
  end
  return made
end

return source
