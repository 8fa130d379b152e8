--- Windows icons (ICO): a directory and whole PNG or BMP pictures behind it, of which the largest counts.
--
-- The directory cannot name a side above 256, the pictures can; the larger counts.

local source = require("media.source")
local still = require("media.still")

local ENTRY, FIRST_ENTRY = 16, 6

-- Width and height of the picture at `at`; a BMP lacks its file header, and its height counts the mask as well.
local function stored_size(src, at)
  if src:text(at, 4) == "\x89PNG" then
    local data, i = src:all():at(at, src.total - at)
    local inner = still.png(source.bytes(data, i, src.total - at))
    return inner.width, inner.height
  end
  local width, height = src:unpack("<I4i4", 8, at + 4)
  return width, still.bmp_height(height) // 2
end

return function(src)
  local count = src:unpack("<I2", 2, 4)
  local best
  for k = 0, count - 1 do
    local width, height, _, at = src:unpack("<BBxxxxxxI4I4", ENTRY, FIRST_ENTRY + ENTRY * k)
    local stored_width, stored_height = stored_size(src, at)
    width = math.max(width > 0 and width or 256, stored_width)
    height = math.max(height > 0 and height or 256, stored_height)
    if not best or width * height > best.width * best.height then
      best = still.picture(width, height)
    end
  end
  return best or error(source.CONTRADICTORY, 0)
end
