--- WebM and Matroska: duration and frame size. Written from RFC 8794 (EBML) and RFC 9559 (Matroska).
--
-- The clusters are visited as well: browsers record WebM without a duration, and a stated one is a claim.

local source = require("media.source")
local opus = require("media.opus")

-- Blocks are elements: an hour of sound in blocks of 20 ms has 180 000.
local MAX_ELEMENTS = 200000

local EBML, SEGMENT, INFO, TRACKS, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
local DOCTYPE, SCALE, DURATION = 0x4282, 0x2AD7B1, 0x4489
local ENTRY, DEFAULT_DURATION, VIDEO, AUDIO = 0xAE, 0x23E383, 0xE0, 0xE1
local TRACK_NUMBER, CODEC = 0xD7, 0x86
local DEFAULT_SCALE = 1000000 -- nanoseconds; decoders put it in place of 0 as well
local WIDTH, HEIGHT, RATE, OUTPUT_RATE, CHANNELS = 0xB0, 0xBA, 0xB5, 0x78B5, 0x9F
local CLUSTER_TIME, SIMPLE_BLOCK, GROUP, BLOCK, BLOCK_DURATION = 0xE7, 0xA3, 0xA0, 0xA1, 0x9B

-- Elements that begin a new one at the top; they end a cluster of unknown size.
local TOP = { [INFO] = true, [TRACKS] = true, [CLUSTER] = true, [0x114D9B74] = true, [0x1C53BB6B] = true,
  [0x1941A469] = true, [0x1043A770] = true, [0x1254C367] = true }

local function spend(state)
  state.budget = state.budget - 1
  if state.budget < 0 then
    error(source.COMPLEX, 0)
  end
end

local function length_of(byte)
  for length = 1, 8 do
    if byte & (0x100 >> length) ~= 0 then
      return length
    end
  end
  error(source.CONTRADICTORY, 0)
end

-- Identifier, first byte of the content, size (nil: unknown) of the element at `pos`.
local function element(src, pos)
  local data, i = src:at(pos, 2)
  local a, b = data:byte(i, i + 1)
  if a >= 0x80 and b >= 0x80 and b < 0xFF then -- both short, as most are
    return a, pos + 2, b & 0x7F
  end
  local id_length = length_of(src:byte(pos))
  if id_length > 4 then
    error(source.CONTRADICTORY, 0)
  end
  local id = src:unpack(">I" .. id_length, id_length, pos)
  local lead = src:byte(pos + id_length)
  local length = length_of(lead)
  local size = src:unpack(">I" .. length, length, pos + id_length) & ~(1 << (7 * length))
  if size == (1 << (7 * length)) - 1 then
    size = nil
  end
  return id, pos + id_length + length, size
end

local function number(src, at, size)
  if size > 8 then
    error(source.CONTRADICTORY, 0)
  end
  local value = size == 0 and 0 or src:unpack(">I" .. size, size, at)
  if value < 0 or value > source.MAX_NUMBER then
    error(source.CONTRADICTORY, 0)
  end
  return value
end

local function real(src, at, size)
  local value = size == 4 and src:unpack(">f", 4, at) or size == 8 and src:unpack(">d", 8, at) or 0
  return value == value and value >= 0 and value < 1e15 and value or error(source.CONTRADICTORY, 0)
end

-- Calls `visit[id](first, size)` for the elements of a master of known size.
local function children(src, pos, stop, visit, state)
  while pos < stop do
    spend(state)
    local id, first, size = element(src, pos)
    if not size or first + size > stop then
      error(source.CONTRADICTORY, 0)
    end
    if visit[id] then
      visit[id](first, size)
    end
    pos = first + size
  end
end

local function read_info(src, first, size, facts, state)
  children(src, first, first + size, {
    [SCALE] = function(at, n)
      facts.scale = math.max(facts.scale or 0, number(src, at, n))
    end,
    [DURATION] = function(at, n)
      facts.duration = math.max(facts.duration, real(src, at, n))
    end,
  }, state)
end

local function read_tracks(src, first, size, facts, state)
  local function largest(name)
    return function(at, n)
      facts[name] = math.max(facts[name] or 0, number(src, at, n))
    end
  end
  local function rate(at, n)
    facts.rate = math.max(facts.rate or 0, math.floor(real(src, at, n)))
  end
  local function entry(at, n)
    local track, number_of = { blocks = 0, opus = 0 }, nil
    children(src, at, at + n, {
      [TRACK_NUMBER] = function(from, m)
        number_of = number(src, from, m)
      end,
      [CODEC] = function(from, m)
        track.is_opus = m >= 6 and src:text(from, 6) == "A_OPUS"
      end,
      [DEFAULT_DURATION] = largest("frame"),
      [VIDEO] = function(from, m)
        facts.kind, track.is_video = "video", true
        children(src, from, from + m, { [WIDTH] = largest("width"), [HEIGHT] = largest("height") }, state)
      end,
      [AUDIO] = function(from, m)
        facts.kind = facts.kind or "audio"
        children(src, from, from + m, { [RATE] = rate, [OUTPUT_RATE] = rate, [CHANNELS] = largest("channels") }, state)
      end,
    }, state)
    if number_of then
      facts.tracks[number_of] = track
    end
  end
  children(src, first, first + size, { [ENTRY] = entry }, state)
end

-- Notes when a block ends, in the segment's units, and counts it for its track.
local function note_block(src, facts, time, at, size, duration)
  local track_length = length_of(src:byte(at))
  if size < track_length + 3 then
    error(source.CONTRADICTORY, 0)
  end
  local data, i = src:at(at, track_length + 3)
  local offset, flags = string.unpack(">i2B", data, i + track_length)
  facts.last = math.max(facts.last, time + offset + (duration or 0))
  local track = facts.tracks[data:byte(i) & (0xFF >> track_length)]
  if track and track_length == 1 then
    track.blocks = track.blocks + 1
    if track.is_opus and flags & 6 == 0 then -- no lacing: one packet
      track.opus = track.opus + opus.samples(src, at + 4, size - 4)
    end
  end
end

-- Visits a cluster; `stop` nil: up to the next element of the top. Returns where it ends.
local function read_cluster(src, pos, stop, facts, state)
  local time, last = 0, stop or src.total
  while pos < last do
    spend(state)
    local ok, id, first, size = pcall(element, src, pos)
    if not ok then
      if id == source.TRUNCATED then
        return src.total
      end
      error(id, 0)
    end
    if not stop and (TOP[id] or not size) then
      return pos
    end
    if not size then
      error(source.CONTRADICTORY, 0)
    end
    if first + size > src.total then -- a recording that was cut off
      return src.total
    end
    if id == CLUSTER_TIME then
      time = number(src, first, size)
      facts.last = math.max(facts.last, time)
    elseif id == SIMPLE_BLOCK then
      note_block(src, facts, time, first, size)
    elseif id == GROUP then
      local block, block_size, duration
      children(src, first, first + size, {
        [BLOCK] = function(at, n)
          block, block_size = at, n
        end,
        [BLOCK_DURATION] = function(at, n)
          duration = number(src, at, n)
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

local function read_segment(src, pos, facts, state)
  while pos < src.total do
    spend(state)
    local id, first, size = element(src, pos)
    local stop = size and first + size
    if id == CLUSTER then
      pos = read_cluster(src, first, stop and math.min(stop, src.total), facts, state)
    elseif not size then
      error(source.CONTRADICTORY, 0)
    else
      if id == INFO or id == TRACKS then
        if stop > src.total then
          error(source.TRUNCATED, 0)
        end
        local read = id == INFO and read_info or read_tracks
        read(src, first, size, facts, state)
      end
      pos = stop
    end
  end
end

local function summary(facts)
  -- A block's end is unknown where it states none: a frame of the track, or 40 ms, is added to what the blocks reach.
  if (facts.scale or 0) == 0 then
    facts.scale = DEFAULT_SCALE
  end
  local unit = facts.scale / 1e6
  local reached = facts.last > 0 and facts.last * unit + math.min(1000, (facts.frame or 0) / 1e6) or 0
  if facts.duration * unit < reached then
    facts.milliseconds = reached + ((facts.frame or 0) == 0 and 40 or 0)
    if facts.duration * unit >= reached - 250 then -- within a block: the statement is right
      facts.milliseconds = reached
    end
  elseif facts.duration > 0 then
    facts.milliseconds = facts.duration * unit
  end
  for _, track in pairs(facts.tracks) do
    if track.is_video then
      facts.frames = math.max(facts.frames or 1, track.blocks)
    elseif track.opus / 48 > (facts.milliseconds or 0) + 240 then -- the last packets may be cut
      facts.milliseconds = track.opus / 48
    end
  end
  return facts
end

return function(src)
  src:all()
  local state = { budget = MAX_ELEMENTS }
  local facts = { tracks = {}, duration = 0, last = 0, type = "mkv" }
  local id, first, size = element(src, 0)
  if id ~= EBML or not size or size > 4096 then
    error(source.CONTRADICTORY, 0)
  end
  children(src, first, first + size, {
    [DOCTYPE] = function(at, n)
      if n <= 16 and src:text(at, n):find("^webm") then
        facts.type = "webm"
      end
    end,
  }, state)
  local segment, inside = element(src, first + size)
  if segment ~= SEGMENT then
    error(source.CONTRADICTORY, 0)
  end
  read_segment(src, inside, facts, state)
  if not facts.kind then
    error(source.TRUNCATED, 0)
  end
  return summary(facts)
end
