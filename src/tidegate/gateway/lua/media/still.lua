--- Pictures whose size stands in their first bytes: JPEG, PNG and APNG, GIF, WebP, BMP.
--
-- Written from the published formats: ITU-T T.81, the W3C PNG recommendation, the GIF89a specification, RFC 9649 and
-- Microsoft's BITMAPINFOHEADER family. A reader takes a source and returns a table of facts (width, height, frames);
-- it raises what `media.source` lists. Where two places in a file disagree the larger one counts.

local source = require("media.source")

local still = {}

local MAX_SIDE = source.MAX_SIDE

-- A file with more segments, chunks or blocks than this is refused: no camera or editor writes as many.
local MAX_SEGMENTS = 4096
local MAX_CHUNKS = 200000

local function contradiction()
  error(source.CONTRADICTORY, 0)
end

local function picture(width, height, frames)
  if width < 1 or height < 1 or width > MAX_SIDE or height > MAX_SIDE then
    contradiction()
  end
  return { width = width, height = height, frames = frames or 1 }
end

still.picture = picture

local function most_pixels(bytes, per_byte)
  return (bytes + 64) * per_byte
end

--- Refuses a picture that its file could not hold: more than `per_byte` pixels for each byte of it.
local function plausible(src, pixels, per_byte)
  if pixels > most_pixels(src.total, per_byte) then
    contradiction()
  end
end

-- JPEG ---------------------------------------------------------------------------------------------------------------

-- Markers without a length: TEM, RST0-7, SOI.
local BARE = { [0x01] = true, [0xD8] = true }
for marker = 0xD0, 0xD7 do
  BARE[marker] = true
end

-- Frame headers: all of C0-CF but DHT (C4), JPG (C8) and DAC (CC), and that of JPEG-LS (F7).
local FRAME = { [0xF7] = true }
for marker = 0xC0, 0xCF do
  FRAME[marker] = marker ~= 0xC4 and marker ~= 0xC8 and marker ~= 0xCC
end

-- Huffman coding spends at least a bit on a block of 64 pixels of one component, and with the most lopsided sampling
-- (4x1 beside 1x4) a bit covers 128 pixels: 1024 pixels a byte. Arithmetic coding has no such bound; lossless neither.
local JPEG_PIXELS_PER_BYTE = 1024

--- The most pixels that a JPEG of so many bytes can hold when it is coded after Huffman.
function still.most_pixels(bytes)
  return most_pixels(bytes, JPEG_PIXELS_PER_BYTE)
end

local HUFFMAN = { [0xC0] = true, [0xC1] = true, [0xC2] = true }

-- The next marker at or after `pos`: decoders skip anything that is not FF, then fill bytes, then stuffed FF 00.
local function next_marker(src, pos)
  for _ = 1, 65536 do
    local data, i = src:at(pos, 2)
    local a, b = data:byte(i, i + 1)
    if a ~= 0xFF then
      pos = pos + 1
    elseif b == 0xFF then
      pos = pos + 1
    elseif b == 0 then
      pos = pos + 2
    else
      return b, pos + 2
    end
  end
  error(source.COMPLEX, 0)
end

function still.jpeg(src)
  local width, height, sof
  local pos = 2
  for _ = 1, MAX_SEGMENTS do
    local marker
    marker, pos = next_marker(src, pos)
    if marker == 0xDA or marker == 0xD9 then -- the scan begins, or the end without one
      if not sof then
        contradiction()
      end
      if HUFFMAN[sof] then
        plausible(src, width * height, JPEG_PIXELS_PER_BYTE)
      end
      return picture(width, height)
    elseif not BARE[marker] then
      local data, i = src:at(pos, 2)
      local high, low = data:byte(i, i + 1)
      local length = high << 8 | low
      if length < 2 then
        contradiction()
      end
      if FRAME[marker] then
        local h, w = src:unpack(">I2I2", 4, pos + 3)
        if sof or length < 8 then -- two frame headers: no decoder agrees with another on what that means
          contradiction()
        end
        width, height, sof = w, h, marker
      end
      pos = pos + length
    end
  end
  error(source.COMPLEX, 0)
end

-- PNG ----------------------------------------------------------------------------------------------------------------

local PNG_CHANNELS = { [0] = 1, [2] = 3, [3] = 1, [4] = 2, [6] = 4 }

-- Deflate cannot pack more than 1032 bytes into one.
local DEFLATE_RATIO = 1032

-- Frames by the header or by counting, whichever are more; a still picture that comes before them is one more.
local function apng_frames(src, pos, declared)
  local counted, still_first = 0, 0
  src:all()
  for _ = 1, MAX_CHUNKS do
    local length, name
    if pos + 8 <= src.total then
      length, name = src:unpack(">I4c4", 8, pos)
    end
    if not name or name == "IEND" then
      return math.max(declared, counted) + still_first
    elseif name == "fcTL" then
      counted = counted + 1
    elseif name == "IDAT" and counted == 0 then
      still_first = 1
    end
    pos = pos + 12 + length
  end
  error(source.COMPLEX, 0)
end

function still.png(src)
  local pos = 8
  local length, name = src:unpack(">I4c4", 8, pos)
  if name == "CgBI" then -- Apple's variant puts a chunk of its own first
    pos = pos + 12 + length
    length, name = src:unpack(">I4c4", 8, pos)
  end
  if name ~= "IHDR" or length ~= 13 then
    contradiction()
  end
  local width, height, depth, colour = src:unpack(">I4I4BB", 10, pos + 8)
  local facts = picture(width, height)
  local bits = depth * (PNG_CHANNELS[colour] or contradiction())
  if bits == 0 then
    contradiction()
  end
  plausible(src, width * height, math.ceil(DEFLATE_RATIO * 8 / bits))
  pos = pos + 25
  for _ = 1, MAX_SEGMENTS do
    length, name = src:unpack(">I4c4", 8, pos)
    if name == "IDAT" then
      return facts
    elseif name == "acTL" then
      facts.frames = apng_frames(src, pos, (src:unpack(">I4", 4, pos + 8)))
      facts.type = "apng"
      return facts
    elseif name == "IHDR" or name == "IEND" then
      contradiction()
    end
    pos = pos + 12 + length
  end
  error(source.COMPLEX, 0)
end

-- GIF ----------------------------------------------------------------------------------------------------------------

local function skip_blocks(src, pos, budget)
  while pos < src.total do
    local size = src:byte(pos)
    pos = pos + 1 + size
    if size == 0 then
      return pos, budget
    end
    budget = budget - 1
    if budget < 0 then
      error(source.COMPLEX, 0)
    end
  end
  return src.total, budget
end

local function colour_table(flags)
  return flags & 0x80 ~= 0 and 3 * (2 << (flags & 7)) or 0
end

--- Frames are counted to the end of the file; one that is cut short still counts.
function still.gif(src)
  local width, height, flags = src:unpack("<I2I2B", 5, 6)
  local pos = 13 + colour_table(flags)
  local frames, budget = 0, MAX_CHUNKS
  src:all()
  while pos < src.total do
    local kind = src:byte(pos)
    if kind == 0x2C and pos + 10 <= src.total then
      local left, top, w, h, local_flags = src:unpack("<I2I2I2I2B", 9, pos + 1)
      width, height = math.max(width, left + w), math.max(height, top + h)
      frames = frames + 1
      pos, budget = skip_blocks(src, pos + 11 + colour_table(local_flags), budget)
    elseif kind == 0x21 then
      pos, budget = skip_blocks(src, pos + 2, budget)
    elseif kind == 0x3B then
      break
    elseif kind == 0 then -- stray terminators occur; decoders step over them
      pos = pos + 1
      budget = budget - 1
    else
      break
    end
    if budget < 0 then
      error(source.COMPLEX, 0)
    end
  end
  if frames == 0 then
    error(source.TRUNCATED, 0)
  end
  return picture(width, height, frames)
end

-- WebP ---------------------------------------------------------------------------------------------------------------

local function webp_chunk_size(src, pos, name)
  if name == "VP8 " then
    local s1, s2, s3, w, h = src:unpack("<BBBI2I2", 7, pos + 11)
    if s1 ~= 0x9D or s2 ~= 0x01 or s3 ~= 0x2A then
      contradiction()
    end
    return w & 0x3FFF, h & 0x3FFF
  end
  local signature, bits = src:unpack("<BI4", 5, pos + 8)
  if signature ~= 0x2F then
    contradiction()
  end
  return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
end

local function webp_extended(src)
  local flags = src:byte(20)
  local width = src:unpack("<I3", 3, 24) + 1
  local height = src:unpack("<I3", 3, 27) + 1
  local animated, frames = flags & 2 ~= 0, 0
  local pos = 20 + ((src:unpack("<I4", 4, 16) + 1) & ~1)
  for _ = 1, MAX_CHUNKS do
    if pos + 8 > src.total then
      break
    end
    local name, size = src:unpack("<c4I4", 8, pos)
    if name == "ANMF" then
      local w, h = src:unpack("<I3I3", 6, pos + 14)
      width, height = math.max(width, w + 1), math.max(height, h + 1)
      frames = frames + 1
    elseif name == "VP8 " or name == "VP8L" then
      local w, h = webp_chunk_size(src, pos, name)
      return picture(math.max(width, w), math.max(height, h), math.max(frames, 1))
    end
    pos = pos + 8 + ((size + 1) & ~1)
  end
  if frames == 0 or not animated and frames > 1 then
    error(frames == 0 and source.TRUNCATED or source.CONTRADICTORY, 0)
  end
  return picture(width, height, frames)
end

function still.webp(src)
  local name = src:text(12, 4)
  if name == "VP8X" then
    return webp_extended(src)
  elseif name ~= "VP8 " and name ~= "VP8L" then
    contradiction()
  end
  local width, height = webp_chunk_size(src, 12, name)
  return picture(width, height)
end

-- BMP ----------------------------------------------------------------------------------------------------------------

--- The height of a BMP; below zero for one that is stored top-down. Some decoders take what is below -2^24 for a number
-- without a sign, which would be larger than any side.
function still.bmp_height(stated)
  if stated < -(1 << 24) then
    contradiction()
  end
  return math.abs(stated)
end

function still.bmp(src)
  local header = src:unpack("<I4", 4, 14)
  local width, height, depth, packing
  if header == 12 then
    width, height, depth = src:unpack("<I2I2xxI2", 8, 18)
    packing = 0
  elseif header >= 16 and header <= 65536 then
    width, height, depth = src:unpack("<i4i4xxI2", 12, 18)
    packing = header >= 20 and src:unpack("<I4", 4, 30) or 0
    height = still.bmp_height(height)
  else
    contradiction()
  end
  local facts = picture(width, height)
  if (packing == 0 or packing == 3 or packing == 6) and depth > 0 then -- stored as it is: the bytes must be there
    local stored = ((width * depth + 31) // 32) * 4.0 * height -- a float: this may pass 64 bits
    if stored > src.total then
      error(source.TRUNCATED, 0)
    end
  end
  return facts
end

return still
