--- Sound with a header that tells: WAV (RIFF, RF64) and FLAC.
--
-- Written from Microsoft's multimedia documents, EBU Tech 3306 and RFC 9639.

local source = require("media.source")

local audio = {}

local function contradiction()
  error(source.CONTRADICTORY, 0)
end

-- WAV ----------------------------------------------------------------------------------------------------------------

local PCM, ADPCM, FLOAT, ALAW, MULAW, IMA_ADPCM, EXTENSIBLE = 1, 2, 3, 6, 7, 0x11, 0xFFFE
local STORED = { [PCM] = true, [FLOAT] = true, [ALAW] = true, [MULAW] = true }
local FOUR_BIT = { [ADPCM] = true, [IMA_ADPCM] = true }
local OPEN_ENDED = 0xFFFFFFFF
local MAX_CHUNKS = 4096

local function wav_format(src, at, size)
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

-- The sample bytes: what the data chunks state, or all to the end where that is open or what follows is no chunk.
local function wav_chunks(src)
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
      if found.format and src:text(pos + 8, 16) ~= found.format.text then -- some decoders take the first, some the last
        contradiction()
      end
      found.format = wav_format(src, pos + 8, size)
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

function audio.wav(src)
  local found = wav_chunks(src)
  local format = found.format
  if not format then
    error(source.TRUNCATED, 0)
  end
  local facts = { rate = format.rate, channels = format.channels }
  if not found.data_at then -- decoders look for the samples further than the chunks tell
    found.data, facts.exact = src.total, false
  end
  local seconds
  if STORED[format.tag] then
    local companded = format.tag == ALAW or format.tag == MULAW -- a byte a sample, whatever the header states
    local frame = format.channels * (companded and 1 or math.max(1, (format.bits + 7) // 8))
    if format.block > 0 and format.block < frame then
      frame = format.block
    end
    seconds = found.data / (frame * format.rate)
  else
    seconds = math.max(
      format.per_second > 0 and found.data / format.per_second or 0,
      (found.samples or 0) / format.rate,
      FOUR_BIT[format.tag] and found.data * 2 / (format.channels * format.rate) or 0
    )
    if not FOUR_BIT[format.tag] then -- the rate that the header states is a claim; no codec takes less than 8 kbit/s
      facts.exact = false
      seconds = math.max(seconds, found.data / 1000)
    end
  end
  facts.milliseconds = seconds > 0 and seconds * 1000 or found.data == 0 and 0 or nil
  return facts
end

-- FLAC ---------------------------------------------------------------------------------------------------------------

-- CRC-8 with polynomial x^8+x^2+x+1, which ends every frame header.
local CRC8 = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do
    c = c & 0x80 ~= 0 and (c << 1 ~ 0x07) & 0xFF or c << 1
  end
  CRC8[i] = c
end

local BLOCKS = { [1] = 192 }
for i = 2, 5 do
  BLOCKS[i] = 576 << (i - 2)
end
for i = 8, 15 do
  BLOCKS[i] = 256 << (i - 8)
end

-- Rates by the code in a frame header; 0 is the rate of the stream's header, 12 to 14 state theirs.
local RATES = { 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000 }

-- The number that UTF-8's scheme stretches to 36 bits holds, and the bytes it takes.
local function coded_number(data, i)
  local lead = data:byte(i)
  if lead < 0x80 then
    return lead, 1
  end
  local length = 0
  while lead & (0x80 >> length) ~= 0 and length < 8 do
    length = length + 1
  end
  if length < 2 or length > 7 then
    return nil
  end
  local value = lead & (0x7F >> length)
  for k = 1, length - 1 do
    local c = data:byte(i + k)
    if c & 0xC0 ~= 0x80 then
      return nil
    end
    value = value << 6 | c & 0x3F
  end
  return value, length
end

-- The sample after the frame whose header stands at data[i], the samples in it and its rate; nil when there is no header.
local function frame_end(data, i, info)
  local codes, kinds = data:byte(i + 2, i + 3)
  local block_code, rate_code = codes >> 4, codes & 15
  if block_code == 0 or rate_code == 15 or kinds >> 4 > 10 or kinds & 1 ~= 0 then
    return nil
  end
  local number, length = coded_number(data, i + 4)
  if not number then
    return nil
  end
  local at = i + 4 + length
  local block = BLOCKS[block_code]
  if block_code == 6 then
    block, at = data:byte(at) + 1, at + 1
  elseif block_code == 7 then
    block, at = (data:byte(at) << 8 | data:byte(at + 1)) + 1, at + 2
  end
  local rate = RATES[rate_code] or info.rate
  if rate_code == 12 then
    rate, at = data:byte(at) * 1000, at + 1
  elseif rate_code > 12 then
    rate, at = (data:byte(at) << 8 | data:byte(at + 1)) * (rate_code == 13 and 1 or 10), at + 2
  end
  local crc = 0
  for k = i, at - 1 do
    crc = CRC8[crc ~ data:byte(k)]
  end
  if crc ~= data:byte(at) then
    return nil
  end
  return data:byte(i + 1) & 1 == 1 and number + block or number * info.block + block, block, rate > 0 and rate or info.rate
end

local LONGEST_HEADER = 16

-- Places that look like the beginning of a frame; an hour of sound has 40 000.
local MAX_SYNCS = 60000

-- Seconds by the frames themselves: how far the last one reaches, or all of them added up, each at the rate it states,
-- whichever is more. Of the bytes between frames one in ten million looks like a header; that adds a frame of a tenth of
-- a second.
local function frame_seconds(src, info)
  local data, start = src:at(0, src.total)
  local stop = start + src.total - LONGEST_HEADER
  local reached, added, seconds, syncs = 0, 0, 0, 0
  for _, sync in ipairs({ "\xFF\xF8", "\xFF\xF9" }) do
    local i = data:find(sync, start, true)
    while i and i <= stop do
      syncs = syncs + 1
      if syncs > MAX_SYNCS then
        error(source.COMPLEX, 0)
      end
      local last, block, rate = frame_end(data, i, info)
      if last and (last <= info.samples or info.samples == 0 or last <= added + block) then
        reached = math.max(reached, last)
      end
      if last then
        added, seconds = added + block, seconds + block / rate
      end
      i = data:find(sync, i + 1, true)
    end
  end
  return math.max(reached / info.rate, seconds)
end

function audio.flac(src)
  local kind, size = src:unpack(">BI3", 4, 4)
  if kind & 0x7F ~= 0 or size < 34 then
    contradiction()
  end
  src:all()
  local packed = src:unpack(">I8", 8, 18)
  local info = { block = math.max(src:unpack(">I2I2", 4, 8)), samples = packed & 0xFFFFFFFFF }
  info.rate = packed >> 44 & 0xFFFFF
  if info.rate == 0 then
    contradiction()
  end
  local seconds = math.max(info.samples / info.rate, frame_seconds(src, info))
  return {
    rate = info.rate,
    channels = (packed >> 41 & 7) + 1,
    milliseconds = seconds > 0 and seconds * 1000 or nil,
  }
end

return audio
