--- WebM and Matroska: duration, frame size and sound. Written from RFC 9559.
--
-- The clusters are visited as well: browsers record WebM without a duration, and a stated one is a claim. Files that were
-- put one behind the other add up, as decoders go on into the next one.

local source = require("media.source")
local ebml = require("media.ebml")
local lacing = require("media.lacing")
local opus = require("media.opus")
local soundtrack = require("media.soundtrack")

-- Blocks are elements: an hour of sound in blocks of 20 ms has 180 000.
local MAX_ELEMENTS = 200000

local EBML, SEGMENT, INFO, TRACKS, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
local DOCTYPE, SCALE, DURATION = 0x4282, 0x2AD7B1, 0x4489
local ENTRY, DEFAULT_DURATION, VIDEO, AUDIO = 0xAE, 0x23E383, 0xE0, 0xE1
local TRACK_NUMBER, CODEC, PRIVATE = 0xD7, 0x86, 0x63A2
local DEFAULT_SCALE = 1000000 -- nanoseconds; decoders put it in place of 0 as well
local WIDTH, HEIGHT, RATE, OUTPUT_RATE, CHANNELS, DEPTH = 0xB0, 0xBA, 0xB5, 0x78B5, 0x9F, 0x6264
local CLUSTER_TIME, SIMPLE_BLOCK, GROUP, BLOCK, BLOCK_DURATION = 0xE7, 0xA3, 0xA0, 0xA1, 0x9B

-- Elements that begin a new one at the top; they end a cluster of unknown size.
local TOP = { [EBML] = true, [SEGMENT] = true, [INFO] = true, [TRACKS] = true, [CLUSTER] = true, [0x114D9B74] = true,
  [0x1C53BB6B] = true, [0x1941A469] = true, [0x1043A770] = true, [0x1254C367] = true }

-- Those that may stand anywhere: void, checksum.
local FILLING = { [0xEC] = true, [0xBF] = true }

-- Those that tell something, clusters last; behind what is no element decoders look for the next of them.
local TELLING = { "\x1A\x45\xDF\xA3", "\x18\x53\x80\x67", "\x15\x49\xA9\x66", "\x16\x54\xAE\x6B", "\x1F\x43\xB6\x75" }

local function read_info(src, first, size, part, state)
  ebml.children(src, first, first + size, {
    [SCALE] = function(at, n)
      part.scale = math.max(part.scale, ebml.number(src, at, n))
    end,
    [DURATION] = function(at, n)
      part.duration = math.max(part.duration, ebml.real(src, at, n))
    end,
  }, state)
end

-- Samples in a frame of codecs in which it is always the same; low rates of MP3 have half.
local SAMPLES = { ["A_MPEG/L3"] = 1152, ["A_MPEG/L2"] = 1152, A_AC3 = 1536 }
local LOW_RATE = 32000

-- Seconds of sound in a frame of the track, in a byte of it, or neither; and what AAC says of itself.
local function settle_sound(track, facts)
  local codec, rate = track.codec, track.rate or 0
  if codec:find("^A_AAC") then
    local told = track.private and soundtrack.aac(track.private) or {}
    track.rate, track.channels = told.rate or track.rate, told.channels or track.channels
    rate = told.core or rate
    track.frame_s = rate > 0 and (told.packet or 1024) / rate or nil
  elseif rate > 0 and SAMPLES[codec] then
    track.frame_s = SAMPLES[codec] / rate / (codec == "A_MPEG/L3" and rate < LOW_RATE and 2 or 1)
  elseif rate > 0 and codec:find("^A_PCM") and (track.depth or 0) >= 8 and (track.channels or 0) > 0 then
    track.byte_s = 8 / track.depth / track.channels / rate
  end
  facts.rate = math.max(facts.rate or 0, track.rate or 0)
  facts.channels = math.max(facts.channels or 0, track.channels or 0)
end

-- One track. One that comes again in a file behind the first adds to what is known of it.
local function read_track(src, at, size, facts, state)
  local track, number_of = { codec = "", frames = 0, bytes = 0, opus = 0 }, nil
  local function largest(holder, name)
    return function(from, n)
      holder[name] = math.max(holder[name] or 0, ebml.number(src, from, n))
    end
  end
  local function rate(from, n)
    track.rate = math.max(track.rate or 0, math.floor(ebml.real(src, from, n)))
  end
  ebml.children(src, at, at + size, {
    [TRACK_NUMBER] = function(from, n)
      number_of = ebml.number(src, from, n)
    end,
    [CODEC] = function(from, n)
      track.codec = src:text(from, math.min(n, 32))
    end,
    [PRIVATE] = function(from, n)
      track.private = src:text(from, math.min(n, 64))
    end,
    [DEFAULT_DURATION] = largest(track, "default"),
    [VIDEO] = function(from, n)
      facts.kind, track.is_video = "video", true
      ebml.children(src, from, from + n, { [WIDTH] = largest(facts, "width"), [HEIGHT] = largest(facts, "height") }, state)
    end,
    [AUDIO] = function(from, n)
      facts.kind, track.is_sound = facts.kind or "audio", true
      ebml.children(src, from, from + n, {
        [RATE] = rate, [OUTPUT_RATE] = rate, [CHANNELS] = largest(track, "channels"), [DEPTH] = largest(track, "depth"),
      }, state)
    end,
  }, state)
  facts.frame = math.max(facts.frame or 0, track.default or 0)
  if track.is_sound then
    settle_sound(track, facts)
  end
  local before = facts.tracks[number_of or 0]
  if before then
    before.is_video = before.is_video or track.is_video
    before.is_opus = before.is_opus or track.codec == "A_OPUS"
  elseif number_of then
    track.is_opus = track.codec == "A_OPUS"
    facts.tracks[number_of] = track
  end
end

-- Notes when a block ends, in the segment's units, and counts its frames for its track.
local function note_block(src, facts, time, at, size, duration)
  local track_length = ebml.length_of(src:byte(at))
  if size < track_length + 3 then
    error(source.CONTRADICTORY, 0)
  end
  local data, i = src:at(at, track_length + 3)
  local offset, flags = string.unpack(">i2B", data, i + track_length)
  local part = facts.part
  local track = track_length == 1 and facts.tracks[data:byte(i) & 0x7F] or nil
  local frames = 1
  if track then
    frames = lacing(src, at + track_length + 3, at + size, flags, track.is_opus and function(from, n)
      track.opus = track.opus + opus.samples(src, from, n)
    end)
    track.frames, track.bytes = track.frames + frames, track.bytes + size - track_length - 3
  end
  local more = track and frames > 1 and (frames - 1) * (track.default or 0) / math.max(1, part.scale) or 0
  part.begun = math.max(part.begun, time + offset)
  part.last = math.max(part.last, time + offset + (duration or more))
end

-- Where the next element that tells something begins behind `pos`. Where each of them was found last is remembered, so all
-- searches together pass over the file once for each.
local function resumed(src, pos, state)
  local data, i = src:at(0, src.total)
  local nearest = src.total
  for k, telling in ipairs(TELLING) do
    if (state[k] or 0) < pos then
      local found = data:find(telling, i + pos, true)
      state[k] = found and found - i or src.total
    end
    nearest = math.min(nearest, state[k])
  end
  return nearest
end

-- Visits a cluster; `stop` nil: up to the next element of the top. Returns where it ends.
local function read_cluster(src, pos, stop, facts, state)
  local time, last = 0, stop and math.min(stop, src.total) or src.total
  while pos < last do
    source.spend(state)
    local ok, id, first, size = pcall(ebml.element, src, pos)
    if not ok then
      if id == source.TRUNCATED then
        return src.total
      elseif not stop and id == source.CONTRADICTORY then
        return pos
      end
      error(id, 0)
    end
    if TOP[id] or not stop and not size then
      return pos
    elseif not size then
      error(source.CONTRADICTORY, 0)
    elseif first + size > last then -- cut off, or damaged
      return resumed(src, pos + 1, state)
    end
    if id == CLUSTER_TIME then
      time = ebml.number(src, first, size)
      facts.part.last = math.max(facts.part.last, time)
    elseif id == SIMPLE_BLOCK then
      note_block(src, facts, time, first, size)
    elseif id == GROUP then
      local block, block_size, duration
      ebml.children(src, first, first + size, {
        [BLOCK] = function(at, n)
          block, block_size = at, n
        end,
        [BLOCK_DURATION] = function(at, n)
          duration = ebml.number(src, at, n)
        end,
      }, state)
      if block then
        note_block(src, facts, time, block, block_size, duration)
      end
    end
    pos = first + size
  end
  return pos
end

-- Begins another part: the files that lie one behind the other have times of their own.
local function begin_part(facts)
  facts.part = { scale = 0, duration = 0, last = 0, begun = 0 }
  facts.parts[#facts.parts + 1] = facts.part
end

local READERS = {
  [INFO] = function(src, first, size, facts, state)
    read_info(src, first, size, facts.part, state)
  end,
  [TRACKS] = function(src, first, size, facts, state)
    ebml.children(src, first, first + size, {
      [ENTRY] = function(at, n)
        read_track(src, at, n, facts, state)
      end,
    }, state)
  end,
  [EBML] = function(src, first, size, facts, state)
    ebml.children(src, first, first + size, {
      [DOCTYPE] = function(at, n)
        if n <= 16 and src:text(at, n):find("^webm") then
          facts.type = "webm"
        end
      end,
    }, state)
  end,
}

-- Visits everything from the top: segments, what is in them, and what follows them.
local function read_all(src, facts, state)
  local pos, inside = 0, 0 -- where the segment ends that is being read
  while pos < src.total do
    source.spend(state)
    local ok, id, first, size = pcall(ebml.element, src, pos)
    local behind = pos >= inside
    if not ok or not TOP[id] and (behind or not FILLING[id]) then
      pos = resumed(src, pos + 1, state) -- damage, or something behind a file that is no part of it
    elseif id == SEGMENT then
      begin_part(facts)
      pos, inside = first, size and math.min(first + size, src.total) or src.total
    elseif id == CLUSTER then
      pos = read_cluster(src, first, size and first + size, facts, state)
    elseif not size then
      error(source.CONTRADICTORY, 0)
    elseif READERS[id] then
      if first + size > src.total then
        error(source.TRUNCATED, 0)
      end
      READERS[id](src, first, size, facts, state)
      pos = first + size
    else -- nothing that tells: a cluster within it counts all the same, as it does where a decoder finds this damaged
      if (state[#TELLING] or 0) < first then
        resumed(src, first, state)
      end
      pos = math.min(first + size, state[#TELLING])
    end
  end
end

-- Milliseconds of a part. A block's end is unknown where it states none: a frame of the track, or 40 ms, is added to what
-- the blocks reach.
local function part_milliseconds(part, frame)
  local unit = (part.scale > 0 and part.scale or DEFAULT_SCALE) / 1e6
  local stated, frame_ms = part.duration * unit, frame / 1e6
  local reached = part.last > 0 and part.last * unit + math.min(1000, frame_ms) or 0
  if stated >= reached or frame_ms <= 1000 and stated > 0 and stated > part.begun * unit and stated >= part.last * unit then
    return stated
  elseif stated >= reached - 250 then -- within a block: the statement is right
    return reached
  end
  return reached + (frame == 0 and 40 or 0)
end

local function summary(facts)
  local milliseconds = 0
  for _, part in ipairs(facts.parts) do
    milliseconds = milliseconds + part_milliseconds(part, facts.frame or 0)
  end
  for _, track in pairs(facts.tracks) do
    if track.is_video then
      facts.frames = math.max(facts.frames or 1, track.frames)
    end
    local seconds = track.frames * (track.frame_s or 0) + track.bytes * (track.byte_s or 0)
    if track.opus / 48 > milliseconds + 240 then -- the last packets may be cut
      milliseconds = track.opus / 48
    elseif seconds * 1000 > milliseconds * 1.1 + 250 then
      milliseconds = seconds * 1000
    end
  end
  facts.milliseconds = milliseconds > 0 and milliseconds or nil
  return facts
end

return function(src)
  src:all()
  local state = { budget = MAX_ELEMENTS }
  local facts = { tracks = {}, parts = {}, type = "mkv" }
  local id, first, size = ebml.element(src, 0)
  if id ~= EBML or not size or size > 4096 or ebml.element(src, first + size) ~= SEGMENT then
    error(source.CONTRADICTORY, 0)
  end
  read_all(src, facts, state)
  if not facts.kind then
    error(source.TRUNCATED, 0)
  end
  return summary(facts)
end
