--- WAV in its RIFF, RF64, BW64 and Wave64 forms: chunks of which one says what the samples are, and others hold them.
--
-- Written from Microsoft's multimedia documents, EBU Tech 3306 and Sony's description of Wave64.

local source = require("media.source")
local frames = require("media.frames")

local wav = {}

local PCM, ADPCM, FLOAT, ALAW, MULAW, IMA_ADPCM, EXTENSIBLE = 1, 2, 3, 6, 7, 0x11, 0xFFFE
local STORED = { [PCM] = true, [FLOAT] = true, [ALAW] = true, [MULAW] = true }
local MPEG = { [0x50] = true, [0x55] = true }
local OPEN_ENDED = 0xFFFFFFFF
local MAX_CHUNKS = 4096

-- Samples of one channel in a byte, of codecs that have one bit rate: ADPCM by Microsoft, IMA and Yamaha.
local DENSITIES = { [ADPCM] = 2, [IMA_ADPCM] = 2, [0x20] = 2 }

-- The same of speech codecs, which have one channel whatever the header states: G.722, and GSM 06.10, of which 65 bytes hold
-- 320.
local SPEECH = { [0x65] = 2, [0x28F] = 2, [0x31] = 320 / 65 }

-- G.721, G.723 and G.726, which take 2 to 5 bits a sample, as the header states or as its bytes a second come to.
local FEW_BITS = { [0x14] = true, [0x40] = true, [0x45] = true, [0x64] = true }

-- The most samples that a byte of such sound holds, or nil when no number of bits is possible.
local function few_bits_density(format)
  local least
  for _, bits in ipairs({ format.bits, format.per_second * 8 // format.rate }) do
    if bits >= 2 and bits <= 5 then
      least = math.min(least or bits, bits)
    end
  end
  return least and 8 / least
end

local function contradiction()
  error(source.CONTRADICTORY, 0)
end

local function read_format(src, at, size)
  if size < 16 then
    contradiction()
  end
  local tag, channels, rate, per_second, block, bits = src:unpack("<I2I2I4I4I2I2", 16, at)
  if tag == EXTENSIBLE and size >= 26 then
    tag = src:unpack("<I2", 2, at + 24)
  end
  if channels == 0 or rate == 0 then
    contradiction()
  end
  return {
    tag = tag, channels = channels, rate = rate, per_second = per_second, block = block, bits = bits,
    text = src:text(at, 16),
  }
end

-- Notes a `fmt` chunk; some decoders take the first of two, some the last.
local function note_format(src, at, size, found)
  if found.format and src:text(at, 16) ~= found.format.text then
    contradiction()
  end
  found.format = read_format(src, at, size)
end

-- The sample bytes: what the data chunks state, or all to the end where that is open or what follows is no chunk.
local function riff_chunks(src)
  local pos, long_data = 12, nil
  local found = { data = 0 }
  for _ = 1, MAX_CHUNKS do
    if pos + 8 > src.total then
      return found
    end
    local name, size = src:unpack("<c4I4", 8, pos)
    if not name:find("^[\x20-\x7E]+$") then
      if found.data_at then -- no chunk: the data chunk stated less than it holds
        found.data = src.total - found.data_at
      end
      return found
    end
    if name == "ds64" then
      long_data = src:unpack("<I8", 8, pos + 16)
    elseif name == "fmt " then
      note_format(src, pos + 8, size, found)
    elseif name == "fact" and size >= 4 then
      found.samples = src:unpack("<I4", 4, pos + 8)
    elseif name == "data" then
      local rest = src.total - pos - 8
      if size == OPEN_ENDED then
        size = long_data or rest
      elseif size == 0 then
        size = rest
      end
      if size < 0 or size > rest then
        size = rest
      end
      found.data, found.data_at = found.data + size, found.data_at or pos + 8
    end
    pos = pos + 8 + size + (size & 1)
  end
  error(source.COMPLEX, 0)
end

-- Sound in frames that tell their own length.
local function mpeg_facts(src, found)
  local data, first = src:all():at(found.data_at, found.data)
  local facts = frames.mpeg(source.bytes(data, first, found.data))
  if facts then
    facts.type = nil
  end
  return facts
end

-- Seconds of `found.data` bytes of samples, and whether nothing shorter is possible.
local function sample_seconds(found)
  local format = found.format
  if STORED[format.tag] then
    local companded = format.tag == ALAW or format.tag == MULAW -- a byte a sample, whatever the header states
    local frame = format.channels * (companded and 1 or math.max(1, (format.bits + 7) // 8))
    if format.block > 0 and format.block < frame then
      frame = format.block
    end
    return found.data / (frame * format.rate), true
  end
  local density = DENSITIES[format.tag] and DENSITIES[format.tag] / format.channels or SPEECH[format.tag]
  if FEW_BITS[format.tag] then
    density = few_bits_density(format)
  end
  local told = math.max(
    format.per_second > 0 and found.data / format.per_second or 0,
    (found.samples or 0) / format.rate,
    density and found.data * density / format.rate or 0
  )
  -- Of other codecs the rate that the header states is a claim; none takes less than 8 kbit/s.
  return density and told or math.max(told, found.data / 1000), density ~= nil
end

local function summary(src, found)
  local format = found.format
  if not format then
    error(source.TRUNCATED, 0)
  end
  local facts = found.data_at and MPEG[format.tag] and mpeg_facts(src, found)
  if facts then
    return facts
  end
  facts = { rate = format.rate, channels = format.channels }
  if not found.data_at then -- decoders look for the samples further than the chunks tell
    found.data, facts.exact = src.total, false
  end
  local seconds, certain = sample_seconds(found)
  if not certain then
    facts.exact = false
  end
  facts.milliseconds = seconds > 0 and seconds * 1000 or found.data == 0 and 0 or nil
  return facts
end

function wav.riff(src)
  return summary(src, riff_chunks(src))
end

-- Chunks of Wave64 have names of 16 bytes, sizes of 8 that count their head of 24, and begin at multiples of 8.
local HEAD = 24

function wav.wave64(src)
  local pos = 40
  local found = { data = 0 }
  for _ = 1, MAX_CHUNKS do
    if pos + HEAD > src.total then
      return summary(src, found)
    end
    local name, size = src:unpack("<c4xxxxxxxxxxxxI8", HEAD, pos)
    local rest = src.total - pos
    if size < HEAD or size > rest or size == HEAD and name == "data" then
      size = rest
    end
    if name == "fmt " then
      note_format(src, pos + HEAD, size - HEAD, found)
    elseif name == "data" then
      found.data, found.data_at = found.data + size - HEAD, found.data_at or pos + HEAD
    end
    pos = pos + ((size + 7) & ~7)
  end
  error(source.COMPLEX, 0)
end

return wav
