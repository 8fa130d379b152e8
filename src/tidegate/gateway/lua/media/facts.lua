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
  local kind, width, height = medium.kind, medium.width or 0, medium.height or 0
  if width > source.MAX_SIDE or height > source.MAX_SIDE then
    width, height, medium.code = 0, 0, medium.code or source.CONTRADICTORY.code
  end
  local pixels = capped(width * height)
  if pixels == 0 and kind ~= "audio" then
    pixels = capped(medium.bytes * UNREAD_PIXELS_PER_BYTE)
    medium.exact = false
  end
  local milliseconds = medium.milliseconds
  if not milliseconds then
    milliseconds = 0
    if kind ~= "image" then
      milliseconds = capped(medium.bytes * UNREAD_MILLISECONDS_PER_BYTE)
      medium.exact = false
    end
  end
  medium.width, medium.height, medium.pixels = width, height, pixels
  medium.frames = medium.frames or (kind == "audio" and 0 or 1)
  medium.milliseconds = math.tointeger(capped(math.ceil(milliseconds)))
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

-- What was judged from bytes chooses a pool; it refuses nobody: `pixels` and `milliseconds` are sums without it.
local function total_refusal(limits, count, bytes, pixels, milliseconds)
  if limits.required == 1 and count == 0 then
    return "media_missing"
  elseif limits.count and count > limits.count then
    return "media_too_many"
  elseif limits.total_bytes and bytes > limits.total_bytes then
    return "media_too_many_bytes"
  elseif limits.total_pixels and pixels > limits.total_pixels then
    return "media_too_many_pixels"
  elseif limits.total_seconds and milliseconds > limits.total_seconds * 1000 then
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

local function larger_of(a, b)
  return a > b and a or b
end

local NONE = { kind = "none", type = "none", width = 0, height = 0, rate = 0, channels = 0 }

--- The record of a request: eighteen fields between colons, in this order, for `field(N,:)` in rules and for Python.
-- `problem` is what was wrong with the container around the media, if anything.
function facts.record(media, limits, problem)
  local named
  local pixels, frames, milliseconds, bytes, known = 0, 0, 0, 0, 1
  local all_pixels, all_frames, all_milliseconds, all_bytes = 0, 0, 0, 0
  local read_pixels, read_milliseconds = 0, 0
  for k = 1, #media do
    local medium = media[k]
    pixels, all_pixels = larger_of(pixels, medium.pixels), capped(all_pixels + medium.pixels)
    frames, all_frames = larger_of(frames, medium.frames), capped(all_frames + medium.frames)
    milliseconds = larger_of(milliseconds, medium.milliseconds)
    all_milliseconds = capped(all_milliseconds + medium.milliseconds)
    bytes, all_bytes = larger_of(bytes, medium.bytes), capped(all_bytes + medium.bytes)
    if medium.exact == false then
      known = 0
    else
      read_milliseconds = capped(read_milliseconds + medium.milliseconds)
    end
    read_pixels = capped(read_pixels + medium.width * medium.height)
    if not named or larger(medium, named) then
      named = medium
    end
    problem = problem or refusal(medium, limits)
  end
  named = named or NONE
  return string.format(
    "%s:%s:%s:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d:%d.%03d",
    problem or total_refusal(limits, #media, all_bytes, read_pixels, read_milliseconds) or "ok",
    named.kind, named.type, named.width, named.height, pixels, frames, milliseconds, named.rate, named.channels,
    bytes, #media, known, all_pixels, all_frames, all_milliseconds, all_bytes,
    milliseconds // 1000, milliseconds % 1000
  )
end

--- The record of a single picture of one frame whose sizes are exact, as `facts.record` would have it.
function facts.picture(type, width, height, bytes, limits)
  local pixels = width * height
  if next(limits) then
    return facts.record({
      {
        kind = "image", type = type, width = width, height = height, pixels = pixels,
        frames = 1, milliseconds = 0, rate = 0, channels = 0, bytes = bytes,
      },
    }, limits)
  end
  return string.format(
    "ok:image:%s:%d:%d:%d:1:0:0:0:%d:1:1:%d:1:0:%d:0.000", type, width, height, pixels, bytes, pixels, bytes
  )
end

local NOTHING = ":none:none:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0"

-- What the first bytes answer when they do not tell: more of them may, or the whole body is wanted.
facts.MORE, facts.WHOLE = "more" .. NOTHING, "whole" .. NOTHING

return facts
