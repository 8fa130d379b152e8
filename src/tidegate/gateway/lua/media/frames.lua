--- Sound without a header, frame after frame: MPEG audio (MP3 and its elder layers), ADTS AAC, AMR.
--
-- Written from ISO/IEC 11172-3 and 13818-3, ISO/IEC 13818-7 and RFC 4867. The frames are counted one by one: the first
-- one's bit rate, and a Xing or VBRI header, are claims. Where the walk loses its way, the bytes passed over count as
-- frames of the lowest bit rate.

local source = require("media.source")

local frames = {}

local MAX_FRAMES = 1000000

-- MPEG audio ---------------------------------------------------------------------------------------------------------

local RATES = { [3] = { 44100, 48000, 32000 }, [2] = { 22050, 24000, 16000 }, [0] = { 11025, 12000, 8000 } }

-- Bit rates in kbit/s by version 1 or 2 and layer.
local KILOBITS = {
  { { 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448 },
    { 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384 },
    { 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320 } },
  { { 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256 },
    { 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160 },
    { 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160 } },
}

-- Bytes, samples, rate, layer of the frame with this header word, by its upper bits; false where it is none.
local function build(version_bits, layer_bits, kilobit_code, rate_code, padding)
  local layer = 4 - layer_bits
  local rates = RATES[version_bits]
  local kilobits = rates and layer < 4 and KILOBITS[version_bits == 3 and 1 or 2][layer][kilobit_code]
  local rate = rates and rates[rate_code + 1]
  if not kilobits or not rate then
    return false
  end
  local samples = layer == 1 and 384 or (layer == 3 and version_bits ~= 3) and 576 or 1152
  local size
  if layer == 1 then
    size = (12000 * kilobits // rate + padding) * 4
  else
    size = samples // 8 * 1000 * kilobits // rate + padding
  end
  return { size = size, samples = samples, rate = rate, layer = layer, version = version_bits }
end

local headers = {}

local function header(word)
  if word >> 21 ~= 0x7FF then
    return false
  end
  local key = word >> 9 & 0xFFF
  local found = headers[key]
  if found == nil then
    found = build(word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3, word >> 9 & 1)
    headers[key] = found
  end
  return found
end

-- Bytes of the ID3v2 tag at `pos`; nil when there is none, as decoders have it.
local function id3_size(src, pos)
  if pos + 10 > src.total or src:text(pos, 3) ~= "ID3" then
    return nil
  end
  local major, minor, flags, a, b, c, d = src:unpack("BBBBBBB", 7, pos + 3)
  if major == 0xFF or minor == 0xFF or (a | b | c | d) > 127 then
    return nil
  end
  return 10 + (a << 21 | b << 14 | c << 7 | d) + (flags & 16 ~= 0 and 10 or 0)
end

local APE_HEAD, APE_HAS_HEAD, APE_IS_HEAD = 32, 1 << 31, 1 << 29

-- The same of an APE tag: its size counts all but the head, which is not there in its first version.
local function ape_size(src, pos)
  if pos + APE_HEAD > src.total or src:text(pos, 8) ~= "APETAGEX" then
    return nil
  end
  local size, flags = src:unpack("<I4xxxxI4", 12, pos + 12)
  return flags & APE_IS_HEAD ~= 0 and flags & APE_HAS_HEAD ~= 0 and APE_HEAD + size or APE_HEAD
end

--- Where the sound begins behind ID3v2 and APE tags; there may be several.
local function behind_tags(src)
  local pos = 0
  for _ = 1, 16 do
    local size = id3_size(src, pos) or ape_size(src, pos)
    if not size then
      return pos
    end
    pos = pos + size
  end
  return pos
end

frames.behind_tags = behind_tags

--- Whether two frames follow each other from `pos`; one suffices when it fills the rest.
function frames.is_mpeg(src, pos)
  if pos + 4 > src.total then
    return false
  end
  local first = header((src:unpack(">I4", 4, pos)))
  if not first then
    return false
  end
  local following = pos + first.size
  if following + 4 > src.total then
    return following == src.total
  end
  local second = header((src:unpack(">I4", 4, following)))
  return second and second.layer == first.layer and second.rate == first.rate
end

local SEARCH = 65536

-- The first place from `pos` where `begins` finds sound; some encoders leave a gap behind their tag.
local function first_frame(src, pos, begins)
  local stop = math.min(src.total - 4, pos + SEARCH)
  while pos <= stop do
    local data, i = src:at(pos, stop + 4 - pos)
    local found = data:find("\xFF", i, true)
    if not found or found - i > stop - pos then
      return nil
    end
    pos = pos + found - i
    if begins(src, pos) then
      return pos
    end
    pos = pos + 1
  end
  return nil
end

local TAGS = { TAG = true, APE = true, LYR = true, ID3 = true }

-- Where sound goes on behind a tag at `pos`, or the end: a tag in the middle hides nothing that decoders find again.
local function behind_tag(src, pos, begins)
  while pos + 4 <= src.total do
    local again = first_frame(src, pos, begins)
    if again then
      return again
    end
    pos = pos + SEARCH
  end
  return src.total
end

-- Where frames go on behind `pos`, at which there is none, and the bytes that were passed over and are no tag.
local function resumed(src, pos, begins)
  if TAGS[src:text(pos, 3)] then
    return behind_tag(src, pos + 3, begins), 0
  end
  local again = first_frame(src, pos + 1, begins) or src.total
  return again, again - pos
end

-- A frame that holds no sound but says how many follow.
local function is_index(src, pos, size)
  local text = src:text(pos, math.min(size, 64, src.total - pos))
  return text:find("Xing", 1, true) or text:find("Info", 1, true) or text:find("VBRI", 1, true)
end

local function channels_of(src, pos)
  return src:byte(pos + 3) >> 6 == 3 and 1 or 2
end

local function word_at(src, pos)
  local data, i = src:at(pos, 4)
  return (string.unpack(">I4", data, i))
end

function frames.mpeg(src)
  src:all()
  local pos = first_frame(src, behind_tags(src), frames.is_mpeg)
  if not pos then
    return nil
  end
  local first = header(word_at(src, pos))
  local facts = { rate = first.rate, channels = channels_of(src, pos), type = "mp" .. first.layer }
  if is_index(src, pos, first.size) then
    pos = pos + first.size
  end
  local seconds, lost = 0, 0
  local rate, samples = first.rate, 0
  for _ = 1, MAX_FRAMES do
    if pos + 4 > src.total then
      facts.milliseconds = (seconds + samples / rate) * 1000 + lost
      facts.exact = lost == 0 and nil
      return facts
    end
    local found = header(word_at(src, pos))
    if found then
      if found.rate ~= rate then
        seconds, samples, rate = seconds + samples / rate, 0, found.rate
      end
      samples = samples + found.samples
      pos = pos + found.size
    else
      local passed
      pos, passed = resumed(src, pos, frames.is_mpeg)
      lost = lost + passed -- a byte is at most a millisecond: 8 kbit/s is the lowest rate
    end
  end
  error(source.COMPLEX, 0)
end

-- ADTS ---------------------------------------------------------------------------------------------------------------

local ADTS_RATES = { 96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350 }

-- Bytes, samples, rate, channels of the frame at `pos`, or nil.
local function adts(src, pos)
  if pos + 7 > src.total then
    return nil
  end
  local sync, packed = src:unpack(">I2I5", 7, pos)
  if sync & 0xFFF6 ~= 0xFFF0 then
    return nil
  end
  local size = packed >> 13 & 0x1FFF
  local rate = ADTS_RATES[(packed >> 34 & 15) + 1]
  if size < 7 or not rate then
    return nil
  end
  return size, ((packed & 3) + 1) * 1024, rate, packed >> 30 & 7
end

function frames.is_adts(src, pos)
  local size = adts(src, pos)
  return size and (pos + size == src.total or adts(src, pos + size) ~= nil)
end

function frames.aac(src)
  src:all()
  local pos = behind_tags(src)
  local _, _, rate, channels = adts(src, pos)
  local seconds, lost = 0, 0
  for _ = 1, MAX_FRAMES do
    local size, samples, frame_rate = adts(src, pos)
    if size then
      seconds, pos = seconds + samples / frame_rate, pos + size
    elseif pos + 8 > src.total then
      return {
        rate = rate, channels = channels == 7 and 8 or channels,
        milliseconds = seconds * 1000 + lost, exact = lost == 0 and nil,
      }
    else
      local passed
      pos, passed = resumed(src, pos, frames.is_adts)
      lost = lost + passed
    end
  end
  error(source.COMPLEX, 0)
end

-- AMR ----------------------------------------------------------------------------------------------------------------

-- Bytes of a frame by its type, the octet that states it included; 20 ms each.
local NARROW = { [0] = 13, 14, 16, 18, 20, 21, 27, 32, 6, [15] = 1 }
local WIDE = { [0] = 18, 24, 33, 37, 41, 47, 51, 59, 61, 6, [14] = 1, [15] = 1 }

function frames.amr(src)
  src:all()
  local wide = src:text(0, 9) == "#!AMR-WB\n"
  local sizes = wide and WIDE or NARROW
  local pos, count = wide and 9 or 6, 0
  while pos < src.total do
    local size = sizes[src:byte(pos) >> 3 & 15]
    if not size then
      error(source.CONTRADICTORY, 0)
    end
    pos, count = pos + size, count + 1
    if count > MAX_FRAMES then
      error(source.COMPLEX, 0)
    end
  end
  return { rate = wide and 16000 or 8000, channels = 1, milliseconds = count * 20 }
end

return frames
