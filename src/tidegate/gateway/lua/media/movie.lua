--- Movies and sound in ISO base media files: MP4, MOV, M4A, 3GP, and the sequences of HEIC and AVIF.
--
-- Written from ISO/IEC 14496-12 and Apple's QuickTime File Format. Durations and sizes stand in several places of a
-- movie; the largest counts. Frames are the samples of the video track.

local source = require("media.source")
local boxes = require("media.boxes")
local soundtrack = require("media.soundtrack")

local movies = {}

-- Handlers of tracks that hold pictures.
local VISUAL = { vide = true, pict = true, auxv = true }

local UNKNOWN_32, UNKNOWN_64 = 0xFFFFFFFF, -1

local function versioned_duration(src, at, unknown_ok)
  local scale, duration
  if src:byte(at) == 1 then
    scale, duration = src:unpack(">I4I8", 12, at + 20)
  else
    scale, duration = src:unpack(">I4I4", 8, at + 12)
  end
  if duration == UNKNOWN_32 or duration == UNKNOWN_64 or duration < 0 then
    duration = 0
  end
  if scale == 0 then
    if duration > 0 or not unknown_ok then
      error(source.CONTRADICTORY, 0)
    end
    scale = 1
  end
  return scale, duration
end

local MAX_TIMES = 2000000

-- Sum over `stts`: how many samples, how long in the track's own units, and how long the last one is.
local function sample_times(src, at, stop)
  local n = src:unpack(">I4", 4, at + 4)
  if at + 8 + n * 8 > stop then
    error(source.CONTRADICTORY, 0)
  end
  if n > MAX_TIMES then
    error(source.COMPLEX, 0)
  end
  local samples, duration, last = 0, 0, 0
  if n > 0 then
    local data, i = src:at(at + 8, n * 8)
    for _ = 1, n do
      local count, delta
      count, delta, i = string.unpack(">I4I4", data, i)
      if delta > 0x7FFFFFFF then -- a negative delta, which some recorders write
        delta = 0
      end
      samples, duration, last = samples + count, duration + count * 1.0 * delta, delta
    end
  end
  return samples, duration, last
end

local MAX_DESCRIPTIONS = 16

-- Sizes and sound of the sample descriptions; the layouts depend on the handler.
local function describe(src, at, stop, track)
  local count = src:unpack(">I4", 4, at + 4)
  local pos = at + 8
  for _ = 1, math.min(count, MAX_DESCRIPTIONS) do
    if pos + 36 > stop then
      return
    end
    local size = src:unpack(">I4", 4, pos)
    if VISUAL[track.handler] then
      local width, height = src:unpack(">I2I2", 4, pos + 32)
      track.width, track.height = math.max(track.width, width), math.max(track.height, height)
    elseif track.handler == "soun" then
      local sound = soundtrack.read(src, pos, math.min(pos + math.max(size, 36), stop), src:byte(at) == 0)
      track.channels, track.rate = math.max(track.channels, sound.channels), math.max(track.rate, sound.rate)
      if sound.packet then
        local rate = sound.core or sound.rate
        track.packet_s = math.max(track.packet_s, rate > 0 and sound.packet / rate or 0)
      end
    end
    if size < 16 then
      return
    end
    pos = pos + size
  end
end

local function new_track()
  return {
    width = 0, height = 0, rate = 0, channels = 0, packet_s = 0, scale = 1,
    seconds = 0, samples = 0, stored = 0, units = 0, last = 0, fragment_samples = 0, fragment_units = 0,
  }
end

local MAX_EDITS = 65536

-- The lengths that an edit list plays of its track, in the movie's units.
local function edits(src, at, stop)
  local long, count = src:byte(at) == 1, src:unpack(">I4", 4, at + 4)
  local size = long and 20 or 12
  if at + 8 + count * size > stop then
    error(source.CONTRADICTORY, 0)
  elseif count > MAX_EDITS then
    error(source.COMPLEX, 0)
  end
  local list = {}
  for k = 0, count - 1 do
    local length, start = src:unpack(long and ">I8i8" or ">I4i4", size - 4, at + 8 + k * size)
    if start >= 0 and length > 0 then -- less is a pause
      list[#list + 1] = length
    end
  end
  return list
end

-- Seconds that the edits of a track play of its `held` seconds; parts may come several times.
local function played(track, movie, held)
  local seconds = 0
  for _, length in ipairs(track.edits or {}) do
    seconds = seconds + math.min(length / (movie.scale or 1), held)
  end
  return seconds
end

local function read_track(src, first, stop, movie, state)
  local track = new_track()
  local descriptions
  local inside = {}
  local function deeper(at, last)
    boxes.walk(src, at, last, inside, state)
  end
  inside.edts, inside.mdia, inside.minf, inside.stbl = deeper, deeper, deeper, deeper
  function inside.tkhd(at)
    local long = src:byte(at) == 1
    track.id = src:unpack(">I4", 4, at + (long and 20 or 12))
    local width, height = src:unpack(">I4I4", 8, at + (long and 88 or 76))
    track.width, track.height = math.max(track.width, width >> 16), math.max(track.height, height >> 16)
  end
  function inside.mdhd(at)
    local scale, duration = versioned_duration(src, at)
    track.scale = scale
    track.seconds = math.max(track.seconds, duration / scale)
  end
  function inside.hdlr(at)
    local handler = src:text(at + 8, 4)
    -- The data handler in `minf` comes second. Of two that name a kind of media the picture counts.
    if not track.handler or VISUAL[handler] or handler == "soun" and not VISUAL[track.handler] then
      track.handler = handler
    end
  end
  function inside.elst(at, last)
    track.edits = edits(src, at, last)
  end
  function inside.stsd(at, last)
    descriptions = { at, last }
  end
  function inside.stts(at, last)
    local samples, duration, longest = sample_times(src, at, last)
    track.samples = math.max(track.samples, samples)
    track.units, track.last = track.units + duration, math.max(track.last, longest)
  end
  function inside.stsz(at)
    track.stored = math.max(track.stored, (src:unpack(">I4", 4, at + 8)))
  end
  inside.stz2 = inside.stsz
  boxes.walk(src, first, stop, inside, state)
  if descriptions then
    describe(src, descriptions[1], descriptions[2], track)
  end
  track.rate = track.rate > 0 and track.rate or track.scale
  if track.stored > track.samples then -- decoders go on with the last duration where the times end too early
    track.units = track.units + (track.stored - track.samples) * 1.0 * track.last
    track.samples = track.stored
  end
  track.seconds = math.max(track.seconds, track.units / track.scale)
  movie.tracks[#movie.tracks + 1] = track
  movie.by_id[track.id or 0] = track
end

local function read_movie(src, first, stop, movie, state)
  local inside = {}
  function inside.mvhd(at)
    local scale, duration = versioned_duration(src, at, true)
    movie.scale = scale
    movie.seconds = math.max(movie.seconds, duration / scale)
  end
  function inside.trak(at, last)
    read_track(src, at, last, movie, state)
  end
  function inside.mvex(at, last)
    movie.fragmented = true
    boxes.walk(src, at, last, {
      mehd = function(where)
        local duration = src:byte(where) == 1 and src:unpack(">i8", 8, where + 4) or src:unpack(">I4", 4, where + 4)
        movie.seconds = math.max(movie.seconds, duration / (movie.scale or 1))
      end,
      trex = function(where)
        local id, _, default = src:unpack(">I4I4I4", 12, where + 4)
        movie.defaults[id] = default
      end,
    }, state)
  end
  inside.cmov = function() -- a compressed movie header: nothing in it can be read
    movie.unread = true
  end
  boxes.walk(src, first, stop, inside, state)
end

-- Samples and time of one run; durations stand one by one, or once for all.
local function read_run(src, at, stop, default)
  local flags = src:unpack(">I4", 4, at) & 0xFFFFFF
  local count = src:unpack(">I4", 4, at + 4)
  local offset = at + 8 + (flags & 1 ~= 0 and 4 or 0) + (flags & 4 ~= 0 and 4 or 0)
  local size = 0
  for _, bit in ipairs({ 0x100, 0x200, 0x400, 0x800 }) do
    size = size + (flags & bit ~= 0 and 4 or 0)
  end
  if flags & 0x100 == 0 then
    return count, count * 1.0 * default
  end
  if offset + count * size > stop then
    error(source.CONTRADICTORY, 0)
  end
  local units = 0
  for k = 0, count - 1 do
    units = units + src:unpack(">I4", 4, offset + k * size)
  end
  return count, units
end

local function read_fragment(src, first, stop, movie, state)
  local function traf(from, to)
    local track, default
    boxes.walk(src, from, to, {
      tfhd = function(at)
        local flags, id = src:unpack(">I4I4", 8, at)
        track, default = movie.by_id[id] or movie.tracks[1], movie.defaults[id] or 0
        if flags & 8 ~= 0 then
          local skip = (flags & 1 ~= 0 and 8 or 0) + (flags & 2 ~= 0 and 4 or 0)
          default = src:unpack(">I4", 4, at + 8 + skip)
        end
      end,
      trun = function(at, last)
        if track then
          local samples, units = read_run(src, at, last, default)
          track.fragment_samples = track.fragment_samples + samples
          track.fragment_units = track.fragment_units + units
        end
      end,
    }, state)
  end
  boxes.walk(src, first, stop, { traf = traf }, state)
end

-- Seconds of a track by its tables. A packet of AAC decodes to as much as it does, whatever the tables say of it.
local function track_seconds(track)
  local told = math.max(track.seconds, (track.units + track.fragment_units) / track.scale)
  local packets = (track.samples + track.fragment_samples) * track.packet_s
  return packets > told * 1.1 + 0.25 and packets or told
end

-- Seconds and samples of a track as its edits play it, which may be several times.
local function track_length(track, movie)
  local held, samples = track_seconds(track), track.samples + track.fragment_samples
  local seconds = played(track, movie, held)
  if seconds <= held then
    return held, samples
  end
  return seconds, math.ceil(samples * seconds / held)
end

local function summary(movie)
  local facts = { width = 0, height = 0, frames = 0 }
  local seconds = movie.seconds
  for _, track in ipairs(movie.tracks) do
    local length, samples = track_length(track, movie)
    seconds = math.max(seconds, length)
    if VISUAL[track.handler] then
      facts.kind = "video"
      facts.frames = math.max(facts.frames, samples)
      if track.width * track.height > facts.width * facts.height then
        facts.width, facts.height = track.width, track.height
      end
    elseif track.handler == "soun" then
      facts.kind = facts.kind or "audio"
      facts.rate = math.max(facts.rate or 0, track.rate)
      facts.channels = math.max(facts.channels or 0, track.channels)
    end
  end
  if seconds > 0 then
    facts.milliseconds = seconds * 1000
  end
  if movie.unread or not facts.kind then
    return { kind = "video", width = 0, height = 0, frames = 1 }
  end
  return facts
end


movies.read_movie, movies.read_fragment, movies.summary = read_movie, read_fragment, summary

function movies.new()
  return { tracks = {}, by_id = {}, defaults = {}, seconds = 0 }
end

return movies
