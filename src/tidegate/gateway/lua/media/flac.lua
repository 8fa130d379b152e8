--- FLAC: seconds by its frames, however the header has it. Written from RFC 9639.

local source = require("media.source")

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

return function(src)
  local kind, size = src:unpack(">BI3", 4, 4)
  if kind & 0x7F ~= 0 or size < 34 then
    error(source.CONTRADICTORY, 0)
  end
  src:all()
  local packed = src:unpack(">I8", 8, 18)
  local info = { block = math.max(src:unpack(">I2I2", 4, 8)), samples = packed & 0xFFFFFFFFF }
  info.rate = packed >> 44 & 0xFFFFF
  if info.rate == 0 then
    error(source.CONTRADICTORY, 0)
  end
  local seconds = math.max(info.samples / info.rate, frame_seconds(src, info))
  return {
    rate = info.rate,
    channels = (packed >> 41 & 7) + 1,
    milliseconds = seconds > 0 and seconds * 1000 or nil,
  }
end
