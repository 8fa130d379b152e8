--- The size of a picture in a HEIC or AVIF file, from its `meta` box. Written from ISO/IEC 23008-12.
--
-- Every picture item carries an `ispe` property. The largest one is the picture: thumbnails, tiles and auxiliary planes
-- are not bigger. A grid states its size a second time beside its rows and columns; the larger counts.

local source = require("media.source")
local still = require("media.still")
local boxes = require("media.boxes")

local MAX_ITEMS = 65536

local function larger(best, width, height)
  if width * height > best.width * best.height then
    return still.picture(width, height)
  end
  return best
end

-- Item identifiers of the kind `grid`.
local function grids_of(src, at, stop, state)
  local grids = {}
  boxes.walk(src, at + (src:byte(at) == 0 and 6 or 8), stop, {
    infe = function(entry)
      local version = src:byte(entry)
      if version == 2 and src:text(entry + 8, 4) == "grid" then
        grids[src:unpack(">I2", 2, entry + 4)] = true
      elseif version == 3 and src:text(entry + 10, 4) == "grid" then
        grids[src:unpack(">I4", 4, entry + 4)] = true
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

local function grid_size(src, at)
  local _, flags = src:unpack("BB", 2, at)
  if flags & 1 == 0 then
    return src:unpack(">I2I2", 4, at + 4)
  end
  return src:unpack(">I4I4", 8, at + 4)
end

--- Width and height of the picture whose `meta` box lies from `first` to `stop`.
return function(src, first, stop, state)
  local best = { width = 0, height = 0 }
  local grids, places, data = {}, nil, nil
  local function properties(at, last)
    boxes.walk(src, at, last, {
      ispe = function(property)
        best = larger(best, src:unpack(">I4I4", 8, property + 4))
      end,
    }, state)
  end
  boxes.walk(src, first + 4, stop, {
    iprp = function(at, last)
      boxes.walk(src, at, last, { ipco = properties }, state)
    end,
    iinf = function(at, last)
      grids = grids_of(src, at, last, state)
    end,
    iloc = function(at)
      places = at
    end,
    idat = function(at)
      data = at
    end,
  }, state)
  if places and next(grids) then
    locations(src, places, function(id, method, offset)
      if grids[id] and method < 2 and (method == 0 or data) then
        best = larger(best, grid_size(src, method == 1 and data + offset or offset))
      end
    end)
  end
  return best
end
