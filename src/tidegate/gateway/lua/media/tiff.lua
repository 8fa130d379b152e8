--- TIFF and BigTIFF (and the camera formats built on it): the largest page, and how many there are.
--
-- Written from the TIFF 6.0 specification and the BigTIFF design by its authors. Pages are the chain of directories;
-- the sub-directories of tag 330 count for the size (camera files keep the real picture there), not for the number.

local source = require("media.source")
local still = require("media.still")

local WIDTH, HEIGHT, ORIENTATION, SUB_DIRECTORIES = 256, 257, 274, 330
local SHORT = 3
local MAX_DIRECTORIES = 4096
local MAX_ENTRIES = 65536

-- Integer types of a tag's value: BYTE, SHORT, LONG, IFD, LONG8, IFD8, and those with a sign (SBYTE, SSHORT, SLONG, SLONG8).
local FORMS = {
  [1] = "I1", [3] = "I2", [4] = "I4", [13] = "I4", [16] = "I8", [18] = "I8", [6] = "i1", [8] = "i2", [9] = "i4", [17] = "i8",
}

local function layout(src)
  local order = src:text(0, 2) == "II" and "<" or ">"
  local big = src:unpack(order .. "I2", 2, 2) == 43
  return {
    order = order,
    count = order .. (big and "I8" or "I2"), count_size = big and 8 or 2,
    entry = order .. (big and "I2I2I8" or "I2I2I4"), entry_size = big and 20 or 12,
    link = order .. (big and "I8" or "I4"), link_size = big and 8 or 4,
    first = big and 8 or 4,
    value_at = big and 12 or 8, value_size = big and 8 or 4,
  }
end

local function values(src, form, entry_at, kind, count)
  local number = FORMS[kind]
  local size = number and number:byte(2) - 48
  if not size or count < 1 or count > MAX_ENTRIES then
    error(source.CONTRADICTORY, 0)
  end
  local at = entry_at + form.value_at
  if size * count > form.value_size then
    at = src:unpack(form.link, form.link_size, at)
  end
  local found = {}
  for i = 1, count do
    found[i] = src:unpack(form.order .. number, size, at + (i - 1) * size)
  end
  return found
end

-- Width and height, turned as the page is to be shown, sub-directories and the place of the next directory.
local function directory(src, form, at)
  local count = src:unpack(form.count, form.count_size, at)
  if count < 1 or count > MAX_ENTRIES then
    error(source.CONTRADICTORY, 0)
  end
  local width, height, orientation, subs = 0, 0, 1, {}
  local entry_at = at + form.count_size
  for _ = 1, count do
    local tag, kind, n = src:unpack(form.entry, form.entry_size - form.value_size, entry_at)
    if tag == WIDTH then
      width = math.max(width, values(src, form, entry_at, kind, n)[1])
    elseif tag == HEIGHT then
      height = math.max(height, values(src, form, entry_at, kind, n)[1])
    elseif tag == ORIENTATION and kind == SHORT and n == 1 then
      orientation = values(src, form, entry_at, kind, n)[1]
    elseif tag == SUB_DIRECTORIES then
      subs = values(src, form, entry_at, kind, n)
    end
    entry_at = entry_at + form.entry_size
  end
  if orientation >= 5 and orientation <= 8 then -- a quarter turned
    width, height = height, width
  end
  return width, height, subs, (src:unpack(form.link, form.link_size, entry_at))
end

return function(src)
  local form = layout(src)
  local best = { width = 0, height = 0 }
  local frames, seen, visited, side = 0, 0, {}, 0
  local function visit(at)
    seen = seen + 1
    if visited[at] then
      error(source.CONTRADICTORY, 0)
    end
    visited[at] = true
    if seen > MAX_DIRECTORIES then
      error(source.COMPLEX, 0)
    end
    local width, height, subs, following = directory(src, form, at)
    side = math.max(side, width, height)
    if width < 0 or height < 0 or width * 1.0 * height > best.width * 1.0 * best.height then
      best = still.picture(width, height)
    end
    return subs, following
  end
  local at = src:unpack(form.link, form.link_size, form.first)
  while at ~= 0 do
    local subs, following = visit(at)
    frames = frames + 1
    for _, sub in ipairs(subs) do
      visit(sub)
    end
    at = following
  end
  local facts = still.picture(best.width, best.height, frames)
  facts.side = side
  return facts
end
