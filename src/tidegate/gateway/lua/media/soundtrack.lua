--- The sound of a track in an ISO base media or QuickTime file: rate, channels and samples in a packet, from its sample
-- description and from what the codec says of itself inside that.
--
-- Written from ISO/IEC 14496-1, -3 and -12, Apple's QuickTime File Format, and the mappings of ALAC, FLAC and Opus. What the
-- codec says is what decoders go by, so it comes before the description. Nothing here refuses a file: what does not fit is
-- passed over, and the description stands.

local soundtrack = {}

-- Numbers of so many bits one after the other, from the front of a string; nil beyond its end.
local function bit_reader(text)
  local at = 0
  return function(bits)
    if at + bits > 8 * #text then
      return nil
    end
    local value = 0
    for k = at, at + bits - 1 do
      value = value << 1 | text:byte(k // 8 + 1) >> (7 - k % 8) & 1
    end
    at = at + bits
    return value
  end
end

local AAC_RATES = { [0] = 96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350 }
local AAC_CHANNELS = { 1, 2, 3, 4, 5, 6, 8, [11] = 7, [12] = 8, [14] = 8 }

-- Kinds of AAC: spectral band replication (which doubles the rate), with parametric stereo (which makes two channels of one),
-- and those of low delay, whose packets are short.
local SBR, PS, LOW_DELAY, ENHANCED_LOW_DELAY = 5, 29, 23, 39
local PACKET, SHORT_PACKET = 1024, 512

local SBR_FOLLOWS, PS_FOLLOWS = 0x2B7, 0x548

local function aac_rate(bits)
  local index = bits(4)
  return index == 15 and bits(24) or AAC_RATES[index]
end

local function aac_kind(bits)
  local kind = bits(5)
  return kind == 31 and 32 + (bits(6) or 0) or kind
end

-- An extension that stands behind the configuration, for decoders that do not know it.
local function extension(text, behind)
  for skip = behind, 8 * #text - 16 do
    local bits = bit_reader(text)
    bits(skip)
    if bits(11) == SBR_FOLLOWS then
      if aac_kind(bits) ~= SBR or bits(1) ~= 1 then
        return nil
      end
      local rate = aac_rate(bits)
      return rate, bits(11) == PS_FOLLOWS and bits(1) == 1
    end
  end
  return nil
end

--- {rate, core, channels, packet} by an AudioSpecificConfig, with which an AAC decoder is started, or nil: the rate of its
-- sound and of its packets, in Hz, and the samples in a packet.
function soundtrack.aac(text)
  local bits = bit_reader(text)
  local kind, core = aac_kind(bits), aac_rate(bits)
  local channels = AAC_CHANNELS[bits(4) or 0]
  if not core or core == 0 then
    return nil
  end
  local rate, stereo
  if kind == SBR or kind == PS then
    rate, stereo = aac_rate(bits), kind == PS
  else
    rate, stereo = extension(text, 13)
  end
  return {
    rate = rate or core, core = core, channels = stereo and channels == 1 and 2 or channels,
    packet = (kind == LOW_DELAY or kind == ENHANCED_LOW_DELAY) and SHORT_PACKET or PACKET,
  }
end

-- Object types of `esds` that are AAC.
local AAC_TYPES = { [0x40] = true, [0x66] = true, [0x67] = true, [0x68] = true }
local STREAM, DECODER, START = 3, 4, 5

-- What an `esds` box from `at` to `stop` says: descriptors within each other, each a tag, a length and its content.
local function elementary(src, at, stop)
  local is_aac = false
  local pos = at + 4
  while pos + 2 <= stop do
    local tag, size = src:byte(pos), 0
    pos = pos + 1
    for _ = 1, 4 do
      local part = pos < stop and src:byte(pos) or 0
      size, pos = size << 7 | part & 0x7F, pos + 1
      if part < 0x80 then
        break
      end
    end
    if tag == STREAM and pos + 3 <= stop then
      local flags = src:byte(pos + 2)
      pos = pos + 3 + (flags & 0x80 ~= 0 and 2 or 0) + (flags & 0x20 ~= 0 and 2 or 0)
    elseif tag == DECODER and pos < stop then
      is_aac = AAC_TYPES[src:byte(pos)]
      pos = pos + 13
    elseif tag == START and is_aac and pos + size <= stop then
      return soundtrack.aac(src:text(pos, math.min(size, 64)))
    else
      pos = pos + size
    end
  end
  return nil
end

-- What the boxes in a description say, by their names: a reader of the content that lies from `at` to `stop`.
local CONFIGURATIONS = { esds = elementary }

function CONFIGURATIONS.alac(src, at, stop)
  return stop - at >= 28 and { channels = src:byte(at + 13), rate = src:unpack(">I4", 4, at + 24) } or nil
end

function CONFIGURATIONS.dfLa(src, at, stop)
  if stop - at < 26 then
    return nil
  end
  local packed = src:unpack(">I4", 4, at + 18)
  return { rate = packed >> 12, channels = (packed >> 9 & 7) + 1 }
end

function CONFIGURATIONS.dOps(src, at, stop)
  return stop - at >= 2 and { rate = 48000, channels = src:byte(at + 1) } or nil
end

function CONFIGURATIONS.srat(src, at, stop)
  return stop - at >= 8 and { rate = src:unpack(">I4", 4, at + 4) } or nil
end

local FEW = 32

-- Adds to `found` what the boxes from `pos` to `stop` say.
local function boxes_in(src, pos, stop, found)
  for _ = 1, FEW do
    if pos + 8 > stop then
      return
    end
    local size, name = src:unpack(">I4c4", 8, pos)
    if size < 8 or size > stop - pos then
      return
    end
    if name == "wave" then
      boxes_in(src, pos + 8, pos + size, found)
    elseif CONFIGURATIONS[name] then
      for key, value in pairs(CONFIGURATIONS[name](src, pos + 8, pos + size) or {}) do
        found[key] = value
      end
    end
    pos = pos + size
  end
end

-- Adaptive multi-rate speech has one rate, whatever its description says.
local FIXED = { samr = 8000, sawb = 16000 }

-- QuickTime's second form keeps its numbers further behind.
local SECOND_FORM = 72

--- {rate, channels, core, packet} of the description that lies from `pos` to `stop`; `packet` is nil unless it is AAC, `core`
-- the rate at which its packets count where that is another. `plain`: the table around it has version 0, as in QuickTime.
function soundtrack.read(src, pos, stop, plain)
  local version, channels, rate = src:unpack(">I2xxxxxxI2xxxxxxI4", 20, pos + 16)
  local found = { rate = rate >> 16, channels = channels }
  local inside = pos + 36
  if plain and version == 1 then
    inside = pos + 52
  elseif plain and version == 2 and stop - pos >= SECOND_FORM then
    local exact, count = src:unpack(">dI4", 12, pos + 40)
    found.rate = exact >= 1 and exact < 1e9 and math.floor(exact) or 0
    found.channels, inside = math.min(count, 0xFFFF), pos + SECOND_FORM
  end
  boxes_in(src, inside, stop, found)
  local name = src:text(pos + 4, 4)
  found.rate = FIXED[name] or found.rate
  found.packet = found.packet or name == "mp4a" and PACKET or nil
  return found
end

return soundtrack
