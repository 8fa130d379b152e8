--- The frames in a block of Matroska: one, or several that are laced. Written from RFC 9559, section 10.3.

local source = require("media.source")
local ebml = require("media.ebml")

local XIPH, FIXED = 1, 2

-- Sizes of all frames but the last by bytes that are added up, up to one below 255.
local function xiph_sizes(src, pos, count)
  local sizes = {}
  for k = 1, count - 1 do
    local size, part = 0, nil
    repeat
      part = src:byte(pos)
      size, pos = size + part, pos + 1
    until part < 255
    sizes[k] = size
  end
  return sizes, pos
end

-- The same by a size, and differences to the one before.
local function ebml_sizes(src, pos, count)
  local sizes = {}
  for k = 1, count - 1 do
    local value, length = ebml.variable(src, pos)
    if not value then
      error(source.CONTRADICTORY, 0)
    end
    sizes[k] = k == 1 and value or sizes[k - 1] + value - ((1 << (7 * length - 1)) - 1)
    pos = pos + length
  end
  return sizes, pos
end

--- How many frames the block from `pos` to `stop` with these flags holds; calls `each(at, size)` for them, if given. `pos` is
-- behind track, time and flags.
return function(src, pos, stop, flags, each)
  local kind = flags >> 1 & 3
  if kind == 0 then
    if each then
      each(pos, stop - pos)
    end
    return 1
  end
  local count = src:byte(pos) + 1
  if not each then
    return count
  end
  local sizes = {}
  pos = pos + 1
  if kind == FIXED then
    for k = 1, count - 1 do
      sizes[k] = (stop - pos) // count
    end
  else
    sizes, pos = (kind == XIPH and xiph_sizes or ebml_sizes)(src, pos, count)
  end
  for k = 1, count do
    local size = sizes[k] or stop - pos
    if size < 0 or size > stop - pos then
      error(source.CONTRADICTORY, 0)
    end
    each(pos, size)
    pos = pos + size
  end
  return count
end
