--- ISO base media files from the top: which family a file is of, and the facts of what is in it.

local source = require("media.source")
local boxes = require("media.boxes")
local movies = require("media.movie")
local read_picture = require("media.heif")

local PICTURES = {
  heic = "heic", heix = "heic", heim = "heic", heis = "heic", mif1 = "heic", hevc = "heic", hevx = "heic", msf1 = "heic",
  avif = "avif", avis = "avif",
}

-- Type, and whether it is a picture (or a sequence of them).
local function family(src)
  local name, first, stop = boxes.at(src, 0, src.total)
  if name ~= "ftyp" then
    return "mov", false
  end
  local major = src:text(first, 4)
  local picture
  for at = first, math.min(stop, first + 512) - 4, 4 do
    local brand = src:text(at, 4)
    if at ~= first + 4 and PICTURES[brand] then -- the second word is a version
      picture = picture ~= "avif" and PICTURES[brand] or picture
    end
  end
  if picture and major ~= "qt  " then
    return picture, true
  end
  local short = major:sub(1, 3)
  return major == "qt  " and "mov" or short == "3gp" and "3gp" or short == "M4A" and "m4a" or "mp4", false
end

-- Where the picture and the movie of a file are, read on the way. A movie is known at its header unless fragments follow. Of
-- several picture headers receivers take the first or the last, so all are read, to the end of the file: as the data box
-- fills the rest of nearly every file, this takes no more than the first bytes.
local function contents(src, type, is_picture)
  local state = { budget = boxes.BUDGET }
  local movie, picture, has_movie = movies.new(), nil, false
  local pos = 0
  while pos + 8 <= src.total do
    source.spend(state)
    local ok, name, first, stop = pcall(boxes.at, src, pos, src.total)
    if not ok then
      if picture and name == source.CONTRADICTORY then -- something that is no box behind the picture
        break
      end
      error(name, 0)
    end
    if name == "moov" or name == "moof" or name == "meta" then
      if stop > src.total then
        error(source.TRUNCATED, 0)
      end
      if name == "moov" then
        has_movie = true
        movies.read_movie(src, first, stop, movie, state)
      elseif name == "moof" then
        movies.read_fragment(src, first, stop, movie, state)
      elseif is_picture then
        local found = read_picture(src, first, stop, state, type == "avif")
        if not picture or found.width * found.height > picture.width * picture.height then
          picture = found
        end
      end
    end
    if has_movie and not movie.fragmented and not is_picture then
      break
    end
    pos = stop
  end
  return picture, has_movie and movies.summary(movie)
end

return function(src)
  local type, is_picture = family(src)
  local picture, facts = contents(src, type, is_picture)
  if not picture and not facts then
    error(source.TRUNCATED, 0)
  end
  facts = facts or { width = 0, height = 0, frames = 1, milliseconds = 0 }
  facts.type = type
  if picture then
    if picture.width * picture.height > facts.width * facts.height then
      facts.width, facts.height = picture.width, picture.height
    end
    if facts.width == 0 then
      error(source.CONTRADICTORY, 0)
    end
  end
  if is_picture then
    facts.kind = "image"
    facts.frames = math.max(facts.frames, 1)
    facts.milliseconds = facts.milliseconds or 0
  elseif facts.kind == "audio" and type == "mp4" then
    facts.type = "m4a"
  end
  return facts
end
