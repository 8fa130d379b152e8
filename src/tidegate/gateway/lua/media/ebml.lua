--- EBML: elements that have an identifier, a size and a content, which may be elements. Written from RFC 8794.

local source = require("media.source")

local ebml = {}

--- How many bytes a number takes that begins with this one.
local function length_of(byte)
  for length = 1, 8 do
    if byte & (0x100 >> length) ~= 0 then
      return length
    end
  end
  error(source.CONTRADICTORY, 0)
end

ebml.length_of = length_of

--- The number of variable length at `pos` and the bytes it takes; nil and the bytes when all its bits are set: unknown.
function ebml.variable(src, pos)
  local length = length_of(src:byte(pos))
  local value = src:unpack(">I" .. length, length, pos) & ~(1 << (7 * length))
  return value ~= (1 << (7 * length)) - 1 and value or nil, length
end

--- Identifier, first byte of the content, size (nil: unknown) of the element at `pos`.
function ebml.element(src, pos)
  local data, i = src:at(pos, 2)
  local a, b = data:byte(i, i + 1)
  if a >= 0x80 and b >= 0x80 and b < 0xFF then -- both short, as most are
    return a, pos + 2, b & 0x7F
  end
  local id_length = length_of(a)
  if id_length > 4 then
    error(source.CONTRADICTORY, 0)
  end
  local id = src:unpack(">I" .. id_length, id_length, pos)
  local size, length = ebml.variable(src, pos + id_length)
  return id, pos + id_length + length, size
end

--- A whole number of `size` bytes.
function ebml.number(src, at, size)
  if size > 8 then
    error(source.CONTRADICTORY, 0)
  end
  local value = size == 0 and 0 or src:unpack(">I" .. size, size, at)
  if value < 0 or value > source.MAX_NUMBER then
    error(source.CONTRADICTORY, 0)
  end
  return value
end

--- A number with a point, of 4 or 8 bytes.
function ebml.real(src, at, size)
  local value = size == 4 and src:unpack(">f", 4, at) or size == 8 and src:unpack(">d", 8, at) or 0
  return value == value and value >= 0 and value < 1e15 and value or error(source.CONTRADICTORY, 0)
end

--- Calls `visit[id](first, size)` for the elements of a master of known size.
function ebml.children(src, pos, stop, visit, state)
  while pos < stop do
    source.spend(state)
    local id, first, size = ebml.element(src, pos)
    if not size or first + size > stop then
      error(source.CONTRADICTORY, 0)
    end
    if visit[id] then
      visit[id](first, size)
    end
    pos = first + size
  end
end

return ebml
