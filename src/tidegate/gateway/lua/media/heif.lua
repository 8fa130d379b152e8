--- The size of a picture in a HEIC or AVIF file, from its `meta` box. Written from ISO/IEC 23008-12.
--
-- Every picture item carries an `ispe` property; the primary item's is the picture's, as its `clap` crops and its `irot`
-- turns it (which the decoders of AVIF leave to who shows the picture). A larger one anywhere in the file counts instead: thumbnails, tiles and auxiliary planes are not larger. A grid
-- states its size a second time beside its rows and columns; the larger counts.

local source = require("media.source")
local still = require("media.still")
local boxes = require("media.boxes")

local MAX_ITEMS = 65536

local function larger(best, width, height)
  if width > source.MAX_SIDE or height > source.MAX_SIDE then
    error(source.CONTRADICTORY, 0)
  end
  if width * height > best.width * best.height then
    return still.picture(width, height)
  end
  return best
end

-- Kinds of items that are put together from others and state the whole size again, and where behind their flags it stands.
local COMPOSED = { grid = 4, iovl = 10 }

-- Item identifiers of those, each with that place.
local function grids_of(src, at, stop, state)
  local grids = {}
  local function note(id, kind)
    grids[id] = COMPOSED[kind] or grids[id]
  end
  boxes.walk(src, at + (src:byte(at) == 0 and 6 or 8), stop, {
    infe = function(entry)
      local version = src:byte(entry)
      if version == 2 then
        note((src:unpack(">I2", 2, entry + 4)), src:text(entry + 8, 4))
      elseif version == 3 then
        note((src:unpack(">I4", 4, entry + 4)), src:text(entry + 10, 4))
      end
    end,
  }, state)
  return grids
end

-- Calls `each(item, method, offset, extents)` for the items of an `iloc` box; `extents(k)` is the k-th one's offset.
local function locations(src, at, each)
  local version = src:byte(at)
  local sizes, bases = src:unpack("BB", 2, at + 4)
  local offset_size, length_size = sizes >> 4, sizes & 15
  local base_size, index_size = bases >> 4, version > 0 and bases & 15 or 0
  local id_size = version < 2 and 2 or 4
  local count = src:unpack(">I" .. id_size, id_size, at + 6)
  if count > MAX_ITEMS then
    error(source.COMPLEX, 0)
  end
  local function number(size, where)
    if size == 0 then
      return 0
    elseif size ~= 4 and size ~= 8 then
      error(source.CONTRADICTORY, 0)
    end
    return (src:unpack(">I" .. size, size, where))
  end
  local pos = at + 6 + id_size
  for _ = 1, count do
    local id = src:unpack(">I" .. id_size, id_size, pos)
    pos = pos + id_size
    local method = 0
    if version > 0 then
      method = src:unpack(">I2", 2, pos) & 15
      pos = pos + 2
    end
    local base = number(base_size, pos + 2)
    local extents = src:unpack(">I2", 2, pos + 2 + base_size)
    pos = pos + 4 + base_size
    if extents > 0 then
      each(id, method, base + number(offset_size, pos + index_size))
    end
    pos = pos + extents * (index_size + offset_size + length_size)
  end
end

local function composed_size(src, at, behind)
  local _, flags = src:unpack("BB", 2, at)
  if flags & 1 == 0 then
    return src:unpack(">I2I2", 4, at + behind)
  end
  return src:unpack(">I4I4", 8, at + behind)
end

-- Property numbers of an item, from an `ipma` box.
local function associations(src, at, item)
  local version, flags = src:unpack(">BI3", 4, at)
  local id_size = version < 1 and 2 or 4
  local size = flags & 1 ~= 0 and 2 or 1
  local count = src:unpack(">I4", 4, at + 4)
  local pos = at + 8
  for _ = 1, math.min(count, MAX_ITEMS) do
    local id = src:unpack(">I" .. id_size, id_size, pos)
    local n = src:byte(pos + id_size)
    pos = pos + id_size + 1
    if id == item then
      local numbers = {}
      for k = 1, n do
        numbers[k] = src:unpack(">I" .. size, size, pos + (k - 1) * size) & (size == 2 and 0x7FFF or 0x7F)
      end
      return numbers
    end
    pos = pos + n * size
  end
  return {}
end

-- A crop removes what the codec added to fill its last blocks. One that removes more spares no work, so it is passed over.
local MOST_CROPPED = 64

local function cropped(side, numerator, denominator)
  local kept = denominator > 0 and numerator // denominator or side
  return kept < side and kept > side - MOST_CROPPED and kept > 0 and kept or side
end

-- Notes the properties in an `ipco` box: all in order, and the largest size.
local function read_properties(src, at, stop, found, state)
  local function note(kind)
    return function(first)
      found[#found + 1] = { kind = kind, at = first }
    end
  end
  local visit = setmetatable({
    ispe = function(first)
      local width, height = src:unpack(">I4I4", 8, first + 4)
      found[#found + 1] = { kind = "ispe", width = width, height = height }
      found.best = larger(found.best, width, height)
    end,
    clap = note("clap"),
    irot = note("irot"),
  }, { __index = function()
    return note("other")
  end })
  boxes.walk(src, at, stop, visit, state)
end

-- The size of the item with these properties, nil when they have none.
local function item_size(src, found, numbers, as_stored)
  local width, height
  for _, number in ipairs(numbers) do
    local property = found[number]
    if property and property.kind == "ispe" then
      width, height = property.width, property.height
    elseif as_stored then
      break
    elseif property and property.kind == "clap" and width then
      local wn, wd, hn, hd = src:unpack(">I4I4I4I4", 16, property.at)
      width, height = cropped(width, wn, wd), cropped(height, hn, hd)
    elseif property and property.kind == "irot" and width and src:byte(property.at) & 1 == 1 then
      width, height = height, width
    end
  end
  return width, height
end

-- Where the parts of a `meta` box are that tell the size.
local function parts_of(src, first, stop, state)
  local found = { best = { width = 0, height = 0 } }
  local parts = { properties = found, grids = {} }
  local function keep(name)
    return function(at)
      parts[name] = at
    end
  end
  boxes.walk(src, first + 4, stop, {
    iprp = function(at, last)
      boxes.walk(src, at, last, {
        ipco = function(from, to)
          read_properties(src, from, to, found, state)
        end,
        ipma = keep("associations"),
      }, state)
    end,
    iinf = function(at, last)
      parts.grids = grids_of(src, at, last, state)
    end,
    pitm = keep("primary"),
    iloc = keep("places"),
    idat = keep("data"),
  }, state)
  return parts
end

--- Width and height of the picture whose `meta` box lies from `first` to `stop`; `as_stored` without turn and crop.
return function(src, first, stop, state, as_stored)
  local parts = parts_of(src, first, stop, state)
  local found = parts.properties
  local best = found.best
  if parts.places and next(parts.grids) then
    locations(src, parts.places, function(id, method, offset)
      if parts.grids[id] and method < 2 and (method == 0 or parts.data) then
        local width, height = composed_size(src, method == 1 and parts.data + offset or offset, parts.grids[id])
        best = larger(best, width, height)
      end
    end)
  end
  if parts.primary and parts.associations and best == found.best then
    local size = src:byte(parts.primary) == 0 and 2 or 4
    local item = src:unpack(">I" .. size, size, parts.primary + 4)
    local width, height = item_size(src, found, associations(src, parts.associations, item), as_stored)
    if width and (width + MOST_CROPPED) * (height + MOST_CROPPED) >= best.width * best.height then
      return still.picture(width, height)
    end
  end
  return best
end
