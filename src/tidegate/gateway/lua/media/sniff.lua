--- What a medium is, by its first bytes, and the reader for it. The declared Content-Type has no say: senders lie.

local source = require("media.source")
local facts = require("media.facts")
local still = require("media.still")
local read_tiff = require("media.tiff")
local read_boxes = require("media.isobmff")
local read_matroska = require("media.matroska")
local wav = require("media.wav")
local stored = require("media.stored")
local read_flac = require("media.flac")
local frames = require("media.frames")
local read_ogg = require("media.ogg")
local read_icon = require("media.icon")
local read_jpeg2000 = require("media.jpeg2000")
local plain = require("media.plain")

local sniff = {}

-- {type, kind, reader}. Without a reader the medium is known by name only and judged by its bytes.
local JPEG = { "jpeg", "image", still.jpeg }
local BMP = { "bmp", "image", still.bmp }
local MPEG_AUDIO = { "mp3", "audio", frames.mpeg }
local ADTS = { "aac", "audio", frames.aac }
local BOXES = { "mp4", "video", read_boxes }
local JPEG2000 = { "jpeg2000", "image", read_jpeg2000 }
local WAVE64 = { "w64", "audio", wav.wave64 }
local CURSOR = { "cur", "image", read_icon }
local PNM = { "pnm", "image", plain.pnm }
local AMR = { "amr", "audio", frames.amr }

local FOUR = {
  ["\x89PNG"] = { "png", "image", still.png },
  ["GIF8"] = { "gif", "image", still.gif },
  ["II*\0"] = { "tiff", "image", read_tiff },
  ["MM\0*"] = { "tiff", "image", read_tiff },
  ["II+\0"] = { "tiff", "image", read_tiff },
  ["MM\0+"] = { "tiff", "image", read_tiff },
  ["\x1A\x45\xDF\xA3"] = { "mkv", "video", read_matroska },
  ["fLaC"] = { "flac", "audio", read_flac },
  ["OggS"] = { "ogg", "audio", read_ogg },
  ["FLV\1"] = { "flv", "video" },
  ["\x30\x26\xB2\x75"] = { "asf", "video" },
  ["\0\0\1\xBA"] = { "mpeg", "video" },
  ["\0\0\1\xB3"] = { "mpeg", "video" },
  ["\xFF\x4F\xFF\x51"] = JPEG2000,
  ["8BPS"] = { "psd", "image", plain.psd },
  ["qoif"] = { "qoi", "image", plain.qoi },
  ["\0\0\1\0"] = { "ico", "image", read_icon },
  ["caff"] = { "caf", "audio", stored.caf },
  [".snd"] = { "au", "audio", stored.au },
  ["MThd"] = { "midi", "audio" },
  ["%PDF"] = { "pdf", "other" },
}

-- By the four bytes behind the length of a box, or the form of a RIFF or IFF file.
local SECOND_FOUR = {
  ftyp = BOXES, moov = BOXES, mdat = BOXES, wide = BOXES, free = BOXES, skip = BOXES, pnot = BOXES,
  ["jP  "] = JPEG2000, ["JXL "] = { "jxl", "image" },
}
local AIFF = { "aiff", "audio", stored.aiff }
local WAV = { "wav", "audio", wav.riff }
local FORMS = {
  RIFF = { WEBP = { "webp", "image", still.webp }, WAVE = WAV, ["AVI "] = { "avi", "video" } },
  RF64 = { WAVE = WAV },
  BW64 = { WAVE = WAV },
  FORM = { AIFF = AIFF, AIFC = AIFF },
}

-- Sizes of the headers that a BMP file may carry; text that happens to begin with BM has none of them.
local BMP_HEADERS = { [12] = true, [16] = true, [40] = true, [52] = true, [56] = true, [64] = true, [108] = true, [124] = true }

--- The bytes that a medium can begin with; the first box of a film has less than 64 MiB.
sniff.FIRST = { [0] = true, true, true, true, [0xFF] = true, [0x47] = true }
for _, magics in ipairs({ FOUR, FORMS, { ID3 = true, BM = true, ["#!AMR"] = true, P1 = true, riff = true, APE = true } }) do
  for magic in pairs(magics) do
    sniff.FIRST[magic:byte()] = true
  end
end

-- What may stand behind a tag that was made for MP3, and is read from there.
local TAGGED = { fLaC = true, OggS = true }

local function tagged(src)
  local pos = frames.behind_tags(src)
  if pos + 8 > src.total then
    return MPEG_AUDIO
  end
  local found = TAGGED[src:text(pos, 4)] and FOUR[src:text(pos, 4)]
  if found then
    return { found[1], found[2], function()
      local data, first = src:all():at(pos, src.total - pos)
      return found[3](source.bytes(data, first, src.total - pos))
    end }
  end
  return frames.is_adts(src, pos) and ADTS or MPEG_AUDIO
end

local function by_sync(src, head)
  if head:sub(1, 3) == "ID3" or head:sub(1, 8) == "APETAGEX" then
    return tagged(src)
  elseif head:byte(1) == 0xFF then
    return frames.is_adts(src, 0) and ADTS or frames.is_mpeg(src, 0) and MPEG_AUDIO or nil
  elseif head:byte(1) == 0x47 and src.total >= 377 and src:byte(188) == 0x47 and src:byte(376) == 0x47 then
    return { "mpegts", "video" }
  end
  return nil
end

--- {type, kind, reader} for what `src` begins with, or nil. Raises MORE.
function sniff.name(src)
  if src.total < 12 then
    return nil
  end
  local data, first = src:at(0, 12)
  local a, b, c = data:byte(first, first + 2)
  if a == 0xFF and b == 0xD8 and c == 0xFF then
    return JPEG
  end
  local head = data:sub(first, first + 11)
  local four = head:sub(1, 4)
  local box = SECOND_FOUR[head:sub(5, 8)]
  if four == "\x89PNG" and head:sub(5, 8) ~= "\r\n\x1A\n" then -- damaged on its way as text: no decoder takes it for a PNG
    return nil
  end
  local found = head:byte(1) == 0 and box or FOUR[four] or box or FORMS[four] and FORMS[four][head:sub(9, 12)]
  if found then
    return found
  elseif head:sub(1, 2) == "BM" and src.total >= 26 and BMP_HEADERS[src:unpack("<I4", 4, 14)] then
    return BMP
  elseif four == "\0\0\2\0" and head:find("^[\1-\xFF]\0", 5) then -- a TGA may begin so, with zeros behind
    return CURSOR
  elseif four == "riff" and head:sub(5, 8) == "\x2E\x91\xCF\x11" then
    return WAVE64
  elseif head:find("^P[1-6]%s+[%d#]") then
    return PNM
  elseif head:sub(1, 5) == "#!AMR" then
    return AMR
  end
  return by_sync(src, head)
end

local RAISED = {
  [source.TRUNCATED] = true,
  [source.CONTRADICTORY] = true,
  [source.COMPLEX] = true,
}

-- {type, kind, reader} and what the reader made of `src`.
local function opened(src)
  local found = sniff.name(src)
  return found, found and found[3] and found[3](src) or nil
end

--- The medium in `src`, judged; nil when its first bytes are of no known kind, and nil with MORE or WHOLE when they do not
-- tell yet.
function sniff.read(src)
  local ok, found, medium = pcall(opened, src)
  if not ok then
    local raised, named = found, nil
    if raised == source.MORE or raised == source.WHOLE then
      return nil, raised
    elseif not RAISED[raised] then
      error(raised, 0)
    end
    named, found = pcall(sniff.name, src) -- once more: was it the reader?
    if not named and raised == source.TRUNCATED then -- too short for what it looked like
      return nil
    end
    found = named and found or { "unknown", "other" }
    medium = { code = raised.code }
  elseif not found then
    return nil
  elseif not medium then -- known by name only, or the reader found nothing of its kind behind the first bytes
    medium = found[3] and { exact = false } or {}
  end
  medium.type, medium.kind = medium.type or found[1], medium.kind or found[2]
  medium.bytes = src.total
  return facts.judge(medium)
end

return sniff
