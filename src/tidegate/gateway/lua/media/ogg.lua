--- Ogg: Vorbis, Opus, FLAC, Speex, Theora. Written from RFC 3533, RFC 7845 and the codecs' own documents.
--
-- All pages are visited. A stream is as long as its last granule position says; Opus packets tell their length
-- themselves and those of Theora are a frame each, and the larger of both counts. Streams one after the other (a chain) add up.
-- What lies between pages, and a last page that is cut, is passed over, as decoders do; what looks like a page within another
-- counts as well, since a decoder that finds the outer one damaged goes on inside.

local source = require("media.source")
local opus = require("media.opus")

local MAX_PAGES = 500000

-- Lowest sound rates in bytes a second that a claim of length is believed at: above this it must be a lie.
local MOST_BYTES_PER_SECOND = 1000000

-- Streams that hold neither sound nor picture: the skeleton of Annodex, texts.
local SOUNDLESS = { ["fishead\0"] = true, ["\x80kate\0\0\0"] = true, ["CMML\0\0\0\0"] = true, ["\1text\0\0\0"] = true }

-- Theora is coded in squares of 16; what of them is to be seen is smaller by less than one.
local function seen(squares, stated)
  local coded = squares * 16
  return stated > coded - 16 and stated <= coded and stated or coded
end

local function theora(head)
  local wide, high, width, height = string.unpack(">I2I2I3I3", head, 11)
  local frames, seconds = string.unpack(">I4I4", head, 23)
  local packed = string.unpack(">I2", head, 41)
  return {
    type = "ogv", kind = "video", width = seen(wide, width), height = seen(high, height),
    frame_s = frames > 0 and seconds > 0 and seconds / frames or nil, shift = packed >> 5 & 31, packets = 0,
    unread = frames == 0 or seconds == 0,
  }
end

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
    return theora(head)
  elseif SOUNDLESS[head:sub(1, 8)] then
    return { type = "ogg" }
  end
  return { type = "ogv", kind = "video", width = 0, height = 0, unread = true }
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

-- Packets that end in one page.
local function count_packets(src, stream, lacing, segments)
  for k = 0, segments - 1 do
    if src:byte(lacing + k) < 255 then
      stream.packets = stream.packets + 1
    end
  end
end

local HEADERS = 3

-- Frames of a Theora stream: its packets, or by its position, which is that of the last whole frame and how many came after.
local function frames_of(stream)
  local granule = stream.granule
  return math.max(stream.packets - HEADERS, (granule >> stream.shift) + (granule & (1 << stream.shift) - 1))
end

local function seconds_of(stream)
  if stream.frame_s then
    return frames_of(stream) * stream.frame_s
  elseif not stream.scale or stream.scale <= 0 then
    return 0
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

-- CRC-32 with polynomial 04C11DB7, of a page in which its own place holds zeros.
local CRC32 = {}
for i = 0, 255 do
  local c = i << 24
  for _ = 1, 8 do
    c = (c & 0x80000000 ~= 0 and c << 1 ~ 0x04C11DB7 or c << 1) & 0xFFFFFFFF
  end
  CRC32[i] = c
end

-- A page that begins a stream holds one short packet, and a file has few.
local LONGEST_BEGINNING, MOST_BEGINNINGS = 1024, 2048

-- Refuses a page that begins a stream and is damaged: some decoders pass it over, some do not.
local function intact(src, pos, size, chain)
  chain.begun = chain.begun + 1
  if size > LONGEST_BEGINNING or chain.begun > MOST_BEGINNINGS then
    error(source.COMPLEX, 0)
  end
  local data, i = src:at(pos, size)
  local crc = 0
  for k = 0, size - 1 do
    local byte = k >= 22 and k < 26 and 0 or data:byte(i + k)
    crc = (crc << 8 ~ CRC32[crc >> 24 ~ byte]) & 0xFFFFFFFF
  end
  if crc ~= string.unpack("<I4", data, i + 22) then
    error(source.CONTRADICTORY, 0)
  end
end

-- One page: what it does to the chain of streams, and where the next one may begin.
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
    return pos + 4
  end
  if flags & 2 ~= 0 then
    intact(src, pos, body + size - pos, chain)
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
    elseif stream.packets then
      count_packets(src, stream, lacing, segments)
    end
  end
  return pos + 4
end

local function summary(chain, total)
  local facts = { type = "ogg", kind = "audio" }
  local seconds, frames, exact = 0, 0, true
  for _, streams in ipairs(chain.links) do
    local longest = 0
    for _, stream in pairs(streams) do
      longest = math.max(longest, seconds_of(stream))
      if stream.kind == "video" then
        facts.kind, facts.type, exact = "video", "ogv", exact and not stream.unread
        facts.width = math.max(facts.width or 0, stream.width)
        facts.height = math.max(facts.height or 0, stream.height)
        frames = frames + (stream.frame_s and frames_of(stream) or 0)
      elseif stream.kind == "audio" then
        facts.rate = math.max(facts.rate or 0, stream.rate)
        facts.channels = math.max(facts.channels or 0, stream.channels)
        facts.type = facts.kind == "audio" and stream.type or facts.type
      end
    end
    seconds = seconds + longest
  end
  if frames > 0 then
    facts.frames = frames
  end
  if exact and seconds > 0 and total / seconds <= MOST_BYTES_PER_SECOND then
    facts.milliseconds = seconds * 1000
  end
  return facts
end

return function(src)
  src:all()
  local chain = { links = {}, streams = {}, running = false, begun = 0 }
  local pos = 0
  for _ = 1, MAX_PAGES do
    local data, i = src:at(0, src.total)
    local found = data:find("OggS", i + pos, true)
    pos = found and found - i or src.total
    if pos + 27 > src.total then
      chain.links[#chain.links + 1] = chain.streams
      return summary(chain, src.total)
    end
    pos = page(src, pos, chain)
  end
  error(source.COMPLEX, 0)
end
