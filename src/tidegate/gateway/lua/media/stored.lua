--- Sound whose samples are stored behind a header, in other forms than WAV: AIFF and AIFF-C, CAF, AU.
--
-- Written from Apple's descriptions of AIFF-C and of the Core Audio Format, and Sun's of AU. As long as the bytes of its
-- samples are, or as it says, whichever is more; of codecs that only a decoder could check, as long as its bytes may be.

local source = require("media.source")

local stored = {}

local MAX_CHUNKS = 4096

local function contradiction()
  error(source.CONTRADICTORY, 0)
end

-- Bytes for so many samples of one channel; `mono` when the codec has no other, whatever is stated.
local function bytes(size, samples, mono)
  return { size = size, samples = samples or 1, mono = mono }
end

-- Seconds of `data` bytes when `packed` bytes hold the samples of one channel, and `told` seconds are stated.
local function facts_of(rate, channels, data, packed, told)
  if channels < 1 or channels > 0xFFFF or rate ~= rate or rate < 1 or rate > source.MAX_SIDE then
    contradiction()
  end
  rate = math.floor(rate) -- as decoders have it
  local facts = { rate = rate, channels = channels, exact = packed ~= nil and nil }
  local counted = packed and packed.mono and 1 or channels
  local seconds = packed and data / (packed.size * counted) * packed.samples / rate or data / 1000
  facts.milliseconds = math.max(seconds, told or 0) * 1000
  return facts
end

-- The sample bytes in a chunk of `size` of which `rest` are there, behind `head` others; one without any goes to the end, as
-- recorders leave it that were cut off.
local function held(size, rest, head)
  return math.max(0, (size > head and math.min(size, rest) or rest) - head)
end

-- A sign, an exponent of 15 bits and 64 bits of which the first stands before the point.
local function extended(src, at)
  local exponent, mantissa = src:unpack(">I2I8", 10, at)
  local whole = (mantissa >> 1) * 2.0 + (mantissa & 1)
  return exponent < 0x8000 and whole * 2.0 ^ (exponent - 16383 - 63) or 0
end

-- AIFF ---------------------------------------------------------------------------------------------------------------

local IMA = bytes(34, 64)
local BY_BITS = { NONE = true, twos = true, sowt = true }
local FIXED = {
  ["raw "] = bytes(1), ulaw = bytes(1), ULAW = bytes(1), alaw = bytes(1), ALAW = bytes(1),
  in24 = bytes(3), ["42ni"] = bytes(3), in32 = bytes(4), ["23ni"] = bytes(4),
  fl32 = bytes(4), FL32 = bytes(4), fl64 = bytes(8), FL64 = bytes(8), ima4 = IMA,
}

function stored.aiff(src)
  local compressed = src:text(8, 4) == "AIFC"
  local pos, common, data = 12, nil, 0
  for _ = 1, MAX_CHUNKS do
    if pos + 8 > src.total then
      if not common then
        error(source.TRUNCATED, 0)
      end
      local packed = BY_BITS[common.codec] and bytes(math.max(1, (common.bits + 7) // 8)) or FIXED[common.codec]
      return facts_of(common.rate, common.channels, data, packed, common.frames / math.max(1, common.rate))
    end
    local name, size = src:unpack(">c4I4", 8, pos)
    if name == "COMM" then
      if common or size < 18 then
        contradiction()
      end
      local channels, count, bits = src:unpack(">I2I4I2", 8, pos + 8)
      common = {
        channels = channels, frames = count, bits = bits, rate = extended(src, pos + 16),
        codec = compressed and size >= 22 and src:text(pos + 26, 4) or "NONE",
      }
    elseif name == "SSND" then
      data = data + held(size, src.total - pos - 8, 8)
    end
    pos = pos + 8 + size + (size & 1)
  end
  error(source.COMPLEX, 0)
end

-- CAF ----------------------------------------------------------------------------------------------------------------

local COMPANDED = { ulaw = bytes(1), alaw = bytes(1), ima4 = IMA }

-- What a decoder of ALAC is started with, and goes by: the samples of a packet, channels and rate. Old files wrap it in two atoms.
local COOKIE, WRAPPED = 24, 24

local function read_cookie(src, at, size)
  if size >= WRAPPED + COOKIE and src:text(at + 4, 4) == "frma" then
    at, size = at + WRAPPED, size - WRAPPED
  end
  if size < COOKIE then
    return nil
  end
  local samples, channels, rate = src:unpack(">I4xxxxxBxxxxxxxxxxI4", COOKIE, at)
  return { samples = samples, channels = channels, rate = rate }
end

-- ALAC: its packets are found by their table alone. As many samples as that calls valid, if they end in the last packet.
local function alac_facts(cookie, table)
  local held = table.count * cookie.samples
  local samples = table.valid <= held and table.valid > held - cookie.samples and table.valid or held
  return facts_of(cookie.rate, cookie.channels, 0, bytes(1), samples / math.max(1, cookie.rate))
end

local function caf_facts(format, data, table, cookie)
  if format.codec == "lpcm" then
    return facts_of(format.rate, format.channels, data, bytes(math.max(1, (format.bits + 7) // 8)))
  elseif format.codec == "alac" and table and cookie then
    return alac_facts(cookie, table)
  end
  return facts_of(format.rate, format.channels, data, COMPANDED[format.codec])
end

function stored.caf(src)
  local pos, format, data, table, cookie = 8, nil, 0, nil, nil
  for _ = 1, MAX_CHUNKS do
    if pos + 12 > src.total then
      return format and caf_facts(format, data, table, cookie) or error(source.TRUNCATED, 0)
    end
    local name, size = src:unpack(">c4i8", 12, pos)
    local rest = src.total - pos - 12
    if size < 0 then -- to the end
      size = rest
    end
    if name == "desc" then
      if format then
        contradiction()
      end
      local rate, codec, channels, bits = src:unpack(">dc4xxxxxxxxxxxxI4I4", 32, pos + 12)
      format = { rate = rate, codec = codec, channels = channels, bits = bits }
    elseif name == "kuki" then
      cookie = read_cookie(src, pos + 12, math.min(size, rest))
    elseif name == "data" then
      data = data + held(size, rest, 4)
    elseif name == "pakt" then
      local count, valid = src:unpack(">i8i8", 16, pos + 12)
      if table or count < 0 or valid < 0 or count > source.MAX_SIDE or valid > source.MAX_NUMBER then
        contradiction()
      end
      table = { count = count, valid = valid }
    end
    if size > rest then
      pos = src.total
    else
      pos = pos + 12 + size
    end
  end
  error(source.COMPLEX, 0)
end

-- AU -----------------------------------------------------------------------------------------------------------------

local ENCODINGS = {
  [1] = bytes(1), [2] = bytes(1), [3] = bytes(2), [4] = bytes(3), [5] = bytes(4), [6] = bytes(4), [7] = bytes(8),
  [23] = bytes(1, 2, true), [24] = bytes(1, 2, true), [25] = bytes(3, 8, true), [26] = bytes(5, 8, true), [27] = bytes(1),
}

-- The header, and how far a note behind it may push the samples before decoders take the note for some of them.
local AU_HEADER, AU_NOTE = 24, 256

function stored.au(src)
  local first, _, encoding, rate, channels = src:unpack(">I4I4I4I4I4", 20, 4)
  if first < AU_HEADER or first > AU_HEADER + AU_NOTE then
    first = AU_HEADER
  end
  return facts_of(rate, channels, math.max(0, src.total - first), ENCODINGS[encoding])
end

return stored
