--- ISO base media files from the top: which family a file is of, and the facts of what is in it.

local source = require("media.source")
local boxes = require("media.boxes")
local movies = require("media.movie")
local read_picture = require("media.heif")

local PICTURES = {
  heic = "heic", heix = "heic", heim = "heic", heis = "heic", mif1 = "heic", hevc = "heic", hevx = "heic", msf1 = "heic",
  avif = "avif", avis = "avif",
}
local SEQUENCES = { hevc = true, hevx = true, msf1 = true, avis = true }

-- Type, whether it is a picture, whether it may be a sequence of them.
local function family(src)
  local name, first, stop = boxes.at(src, 0, src.total)
  if name ~= "ftyp" then
    return "mov", false, false
  end
  local major = src:text(first, 4)
  local picture, sequence = nil, false
  for at = first, math.min(stop, first + 512) - 4, 4 do
    local brand = src:text(at, 4)
    if at ~= first + 4 and PICTURES[brand] then -- the second word is a version
      picture = picture ~= "avif" and PICTURES[brand] or picture
      sequence = sequence or SEQUENCES[brand] or false
    end
  end
  if picture and major ~= "qt  " then
    return picture, true, sequence
  end
  local short = major:sub(1, 3)
  return major == "qt  " and "mov" or short == "3gp" and "3gp" or short == "M4A" and "m4a" or "mp4", false, false
end

-- Where the picture and the movie of a file are, read on the way. A still is known once its header is read, a movie at its
-- header unless fragments follow.
local function contents(src, is_picture, is_sequence)
  local state = { budget = boxes.BUDGET }
  local movie, picture, has_movie = movies.new(), nil, false
  local pos = 0
  while pos + 8 <= src.total do
    boxes.spend(state)
    local name, first, stop = boxes.at(src, pos, src.total)
    if name == "moov" or name == "moof" or name == "meta" then
      if stop > src.total then
        error(source.TRUNCATED, 0)
      end
      if name == "moov" then
        has_movie = true
        movies.read_movie(src, first, stop, movie, state)
      elseif name == "moof" then
        movies.read_fragment(src, first, stop, movie, state)
      elseif is_picture and not picture then
        picture = read_picture(src, first, stop, state)
      end
    end
    if picture and not is_sequence or has_movie and not movie.fragmented and (picture or not is_picture) then
      break
    end
    pos = stop
  end
  return picture, has_movie and movies.summary(movie)
end

return function(src)
  local type, is_picture, is_sequence = family(src)
  local picture, facts = contents(src, is_picture, is_sequence)
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
