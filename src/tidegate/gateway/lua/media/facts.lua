--- From the media of one request to what rules are written on: kinds, the largest, the sum, and the refusal.
--
-- A medium is a table: kind, type, width, height, side (the longest edge of any page, where pages differ), frames,
-- milliseconds, rate (Hz), channels, bytes, and either `exact` or not (then its sizes are upper bounds judged from its bytes), and `code` when it cannot be right.

local source = require("media.source")

local facts = {}

-- Above this no number is exact in every language that reads the record; sums stop here.
local CEILING = source.MAX_NUMBER

-- Judged from bytes: deflate packs at most 1032 bytes into one, and 1 kB/s (8 kbit/s) is as low as speech codecs go.
local UNREAD_PIXELS_PER_BYTE = 1024
local UNREAD_MILLISECONDS_PER_BYTE = 1

local function capped(n)
  return n < CEILING and n or CEILING
end

local function split_set(text)
  local set = {}
  for word in text:gmatch("[^+]+") do
    set[word] = true
  end
  return set
end

local NUMBERS = {
  pixels = true, side = true, frames = true, seconds = true, bytes = true, count = true,
  total_pixels = true, total_seconds = true, total_bytes = true, required = true,
}

local cache = {}

--- Limits from their text, `pixels=64000000;side=30000;types=jpeg+png;kinds=image;required=1`. The texts come from
-- the configuration, so few are ever seen and each is taken apart once.
function facts.limits(text)
  text = text or ""
  local known = cache[text]
  if known then
    return known
  end
  local limits = {}
  for key, value in text:gmatch("([%w_]+)=([^;]*)") do
    if NUMBERS[key] then
      limits[key] = assert(tonumber(value), "media limit " .. key .. " is no number: " .. value)
    elseif key == "types" or key == "kinds" then
      limits[key] = split_set(value)
    else
      error("unknown media limit: " .. key)
    end
  end
  cache[text] = limits
  return limits
end

--- Fills in what follows: pixels, and for a medium that could not be read the largest that its bytes allow.
function facts.judge(medium)
  local bytes = medium.bytes
  medium.width, medium.height = medium.width or 0, medium.height or 0
  if math.max(medium.width, medium.height) > source.MAX_SIDE then
    medium.width, medium.height, medium.code = 0, 0, medium.code or source.CONTRADICTORY.code
  end
  medium.pixels = capped(medium.width * medium.height)
  medium.frames = medium.frames or (medium.kind == "audio" and 0 or 1)
  if medium.pixels == 0 and medium.kind ~= "audio" then
    medium.pixels = capped(bytes * UNREAD_PIXELS_PER_BYTE)
    medium.exact = false
  end
  if not medium.milliseconds then
    medium.milliseconds = 0
    if medium.kind ~= "image" then
      medium.milliseconds = capped(bytes * UNREAD_MILLISECONDS_PER_BYTE)
      medium.exact = false
    end
  end
  medium.milliseconds = math.tointeger(capped(math.ceil(medium.milliseconds)))
  medium.rate, medium.channels = medium.rate or 0, medium.channels or 0
  return medium
end

local function refusal(medium, limits)
  if medium.code then
    return medium.code
  elseif limits.kinds and not limits.kinds[medium.kind] then
    return "media_unsupported_type"
  elseif limits.types and not limits.types[medium.type] then
    return "media_unsupported_type"
  elseif limits.side and math.max(medium.width, medium.height, medium.side or 0) > limits.side then
    return "media_too_many_pixels"
  elseif limits.pixels and medium.width * medium.height > limits.pixels then
    return "media_too_many_pixels"
  elseif limits.frames and medium.frames > limits.frames then
    return "media_too_many_frames"
  elseif limits.seconds and medium.exact ~= false and medium.milliseconds > limits.seconds * 1000 then
    return "media_too_long"
  elseif limits.bytes and medium.bytes > limits.bytes then
    return "media_too_many_bytes"
  end
  return nil
end

-- What was judged from bytes chooses a pool; it refuses nobody, so `read` holds the sums without it.
local function total_refusal(all, read, limits)
  if limits.required == 1 and all.count == 0 then
    return "media_missing"
  elseif limits.count and all.count > limits.count then
    return "media_too_many"
  elseif limits.total_bytes and all.total_bytes > limits.total_bytes then
    return "media_too_many_bytes"
  elseif limits.total_pixels and read.pixels > limits.total_pixels then
    return "media_too_many_pixels"
  elseif limits.total_seconds and read.milliseconds > limits.total_seconds * 1000 then
    return "media_too_long"
  end
  return nil
end

-- Which of two media a request is named after: the one with more pixels, then the longer, then the bigger.
local function larger(a, b)
  if a.pixels ~= b.pixels then
    return a.pixels > b.pixels
  elseif a.milliseconds ~= b.milliseconds then
    return a.milliseconds > b.milliseconds
  end
  return a.bytes > b.bytes
end

--- One table for the request. `problem` is what was wrong with the container around the media, if anything.
function facts.request(media, limits, problem)
  local all = {
    code = "ok", kind = "none", type = "none", width = 0, height = 0, rate = 0, channels = 0,
    pixels = 0, frames = 0, milliseconds = 0, bytes = 0, count = #media, known = 1,
    total_pixels = 0, total_frames = 0, total_milliseconds = 0, total_bytes = 0,
  }
  local named
  local read = { pixels = 0, milliseconds = 0 }
  for _, medium in ipairs(media) do
    for _, name in ipairs({ "pixels", "frames", "milliseconds", "bytes" }) do
      all[name] = math.max(all[name], medium[name])
      all["total_" .. name] = capped(all["total_" .. name] + medium[name])
    end
    if medium.exact == false then
      all.known = 0
    else
      read.milliseconds = capped(read.milliseconds + medium.milliseconds)
    end
    read.pixels = capped(read.pixels + medium.width * medium.height)
    if not named or larger(medium, named) then
      named = medium
    end
    problem = problem or refusal(medium, limits)
  end
  if named then
    all.kind, all.type = named.kind, named.type
    all.width, all.height = named.width, named.height
    all.rate, all.channels = named.rate, named.channels
  end
  all.code = problem or total_refusal(all, read, limits) or "ok"
  return all
end

local function seconds(milliseconds)
  return string.format("%d.%03d", milliseconds // 1000, milliseconds % 1000)
end

--- The record: eighteen fields between colons, in this order, for `field(N,:)` in rules and for Python.
function facts.record(all)
  return string.format(
    "%s:%s:%s:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%s",
    all.code, all.kind, all.type, all.width, all.height, all.pixels, all.frames, all.milliseconds,
    all.rate, all.channels, all.bytes, all.count, all.known,
    all.total_pixels, all.total_frames, all.total_milliseconds, all.total_bytes,
    seconds(all.milliseconds)
  )
end

local NOTHING = ":none:none:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0"

-- What the first bytes answer when they do not tell: more of them may, or the whole body is wanted.
facts.MORE, facts.WHOLE = "more" .. NOTHING, "whole" .. NOTHING

return facts
