--- Ogg: Vorbis, Opus, FLAC, Speex, Theora. Written from RFC 3533, RFC 7845 and the codecs' own documents.
--
-- All pages are visited. A stream is as long as its last granule position says; Opus packets tell their length
-- themselves, and the larger of both counts. Streams one after the other (a chain) add up.

local source = require("media.source")
local opus = require("media.opus")

local MAX_PAGES = 500000

-- Lowest sound rates in bytes a second that a claim of length is believed at: above this it must be a lie.
local MOST_BYTES_PER_SECOND = 1000000

local function begin(src, at, size)
  local head = src:text(at, math.min(size, 80))
  if head:sub(1, 7) == "\1vorbis" and size >= 30 then
    local channels, rate = string.unpack("<BI4", head, 12)
    return { type = "ogg", kind = "audio", channels = channels, rate = rate, scale = rate }
  elseif head:sub(1, 8) == "OpusHead" and size >= 19 then
    local channels, skip = string.unpack("<BI2", head, 10)
    return { type = "opus", kind = "audio", channels = channels, rate = 48000, scale = 48000, skip = skip, opus = 0 }
  elseif head:sub(1, 5) == "\x7FFLAC" and size >= 51 then
    local packed = string.unpack(">I8", head, 28)
    local rate = packed >> 44 & 0xFFFFF
    return { type = "ogg", kind = "audio", channels = (packed >> 41 & 7) + 1, rate = rate, scale = rate }
  elseif head:sub(1, 8) == "Speex   " and size >= 68 then
    local rate, _, _, channels = string.unpack("<I4I4I4I4", head, 37)
    return { type = "ogg", kind = "audio", channels = channels, rate = rate, scale = rate }
  elseif head:sub(1, 7) == "\x80theora" and size >= 42 then
    local blocks_wide, blocks_high = string.unpack(">I2I2", head, 11)
    return { type = "ogv", kind = "video", width = blocks_wide * 16, height = blocks_high * 16 }
  end
  return { type = "ogg" }
end

-- Adds the Opus packets of one page. A packet that a page begins in the middle of was counted where it began.
local function count_opus(src, stream, lacing, segments, body)
  local at, size, fresh = body, 0, not stream.open
  for k = 0, segments - 1 do
    local length = src:byte(lacing + k)
    size = size + length
    stream.open = length == 255
    if not stream.open then
      if fresh and stream.pages > 2 then
        stream.opus = stream.opus + opus.samples(src, at, size)
      end
      at, size, fresh = at + size, 0, true
    end
  end
  if stream.open and fresh and size > 0 and stream.pages > 2 then
    stream.opus = stream.opus + opus.samples(src, at, size)
  end
end

local function seconds_of(stream)
  if not stream.scale or stream.scale <= 0 then
    return stream.kind == "video" and stream.granule > 0 and -1 or 0
  end
  local seconds = math.max(0, stream.granule - (stream.skip or 0)) / stream.scale
  if stream.opus then
    local told = (stream.opus - stream.skip) / 48000
    if told > seconds + 0.24 then -- the last packets may be cut, and no packet is longer than 120 ms
      seconds = told
    end
  end
  return seconds
end

-- One page: how long it is, and what it does to the chain of streams.
local function page(src, pos, chain)
  local flags, granule, serial, segments = src:unpack("<xBi8I4xxxxxxxxB", 23, pos + 4)
  local lacing, body = pos + 27, pos + 27 + segments
  local size = 0
  if segments > 0 then
    local data, i = src:at(lacing, segments)
    for k = i, i + segments - 1 do
      size = size + data:byte(k)
    end
  end
  if body + size > src.total then
    error(source.TRUNCATED, 0)
  end
  if flags & 2 ~= 0 then
    if chain.running then -- a new link: what came before is done
      chain.links[#chain.links + 1] = chain.streams
      chain.streams, chain.running = {}, false
    end
    local stream = begin(src, body, size)
    stream.granule, stream.pages = 0, 0
    chain.streams[serial] = stream
  else
    chain.running = true
  end
  local stream = chain.streams[serial]
  if stream then
    stream.pages = stream.pages + 1
    stream.granule = math.max(stream.granule, granule)
    if stream.opus then
      count_opus(src, stream, lacing, segments, body)
    end
  end
  return body + size
end

local function summary(chain, total)
  local facts = { type = "ogg", kind = "audio" }
  local seconds, exact = 0, true
  for _, streams in ipairs(chain.links) do
    local longest = 0
    for _, stream in pairs(streams) do
      longest = math.max(longest, seconds_of(stream))
      if stream.kind == "video" then
        facts.kind, facts.type, exact = "video", "ogv", false
        facts.width = math.max(facts.width or 0, stream.width)
        facts.height = math.max(facts.height or 0, stream.height)
      elseif stream.kind == "audio" then
        facts.rate = math.max(facts.rate or 0, stream.rate)
        facts.channels = math.max(facts.channels or 0, stream.channels)
        facts.type = facts.kind == "audio" and stream.type or facts.type
      end
    end
    seconds = seconds + longest
  end
  if exact and seconds > 0 and total / seconds <= MOST_BYTES_PER_SECOND then
    facts.milliseconds = seconds * 1000
  end
  return facts
end

return function(src)
  src:all()
  local chain = { links = {}, streams = {}, running = false }
  local pos = 0
  for _ = 1, MAX_PAGES do
    if pos + 27 > src.total then
      break
    end
    if src:text(pos, 4) ~= "OggS" then
      error(source.CONTRADICTORY, 0)
    end
    pos = page(src, pos, chain)
  end
  if pos + 27 <= src.total then
    error(source.COMPLEX, 0)
  end
  chain.links[#chain.links + 1] = chain.streams
  return summary(chain, src.total)
end
