--- JPEG 2000: a codestream, or one in boxes. Written from ITU-T T.800.
--
-- The size stands in the codestream and, in boxes, in a header of the image as well; the larger counts.

local source = require("media.source")
local still = require("media.still")
local boxes = require("media.boxes")

-- The first two markers of a codestream: it begins, and how large it is.
local START = 0xFF4FFF51

-- Width and height by the codestream at `pos`: the far corner of the picture on its grid, less the near one.
local function codestream(src, pos)
  local start, right, bottom, left, top = src:unpack(">I4xxxxI4I4I4I4", 24, pos)
  if start ~= START or left >= right or top >= bottom then
    error(source.CONTRADICTORY, 0)
  end
  return right - left, bottom - top
end

local function header_size(src, first, stop, state)
  local height, width
  boxes.walk(src, first, stop, {
    ihdr = function(at)
      height, width = src:unpack(">I4I4", 8, at)
    end,
  }, state)
  return width, height
end

local function boxed(src)
  local state = { budget = boxes.BUDGET }
  local pos, best = 0, nil
  while pos + 8 <= src.total do
    source.spend(state)
    local name, first, stop = boxes.at(src, pos, src.total)
    local width, height
    if name == "jp2h" then
      width, height = header_size(src, first, math.min(stop, src.total), state)
    elseif name == "jp2c" then
      width, height = codestream(src, first)
    elseif name == "moov" then -- a film of such pictures: what its tracks say is not read
      return { exact = false }
    end
    if width and (not best or width * 1.0 * height > best.width * 1.0 * best.height) then
      best = still.picture(width, height)
    end
    pos = stop
  end
  return best or error(source.TRUNCATED, 0)
end

return function(src)
  if src:byte(0) == 0xFF then
    return still.picture(codestream(src, 0))
  end
  return boxed(src)
end
