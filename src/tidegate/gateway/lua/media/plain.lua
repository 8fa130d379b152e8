--- Pictures whose first bytes say how large they are, and nothing else does: PNM, QOI, Photoshop's PSD and PSB.
--
-- Written from the Netpbm manual pages, the QOI specification and Adobe's description of its format.

local source = require("media.source")
local still = require("media.still")

local plain = {}

function plain.qoi(src)
  local width, height = src:unpack(">I4I4", 8, 4)
  return still.picture(width, height)
end

function plain.psd(src)
  local version = src:unpack(">I2", 2, 4)
  if version ~= 1 and version ~= 2 then
    error(source.CONTRADICTORY, 0)
  end
  local height, width = src:unpack(">I4I4", 8, 14)
  return still.picture(width, height)
end

-- A header of PNM is text; comments may make it as long as they like, but rarely do.
local HEADER = 512

-- The next number in `text` from `at`, and where it ends; between numbers stand white space and comments to the end of the line.
local function number(text, at)
  while true do
    local behind = text:match("^%s+()", at) or text:match("^#[^\r\n]*()[\r\n]", at)
    if not behind then
      break
    end
    at = behind
  end
  local digits, stop = text:match("^(%d%d?%d?%d?%d?%d?%d?%d?%d?)()%s", at)
  return tonumber(digits), stop
end

-- Bits of a pixel in the raw forms; 0 in the forms that are written out in text, a bit at least.
local BITS = { P4 = 1, P5 = 8, P6 = 24 }

--- Nothing when the header is not plainly one; nothing, too, when more follows than one picture takes: it may be another one.
function plain.pnm(src)
  local text = src:text(0, math.min(src.total, HEADER))
  local kind = text:sub(1, 2)
  local width, height, most, at
  width, at = number(text, 3)
  if width then
    height, at = number(text, at)
  end
  if not height then
    return nil
  end
  local bits = BITS[kind]
  if bits and bits > 1 then
    most, at = number(text, at)
    if not most then
      return nil
    end
    bits = most > 255 and bits * 2 or bits
  end
  if bits and src.total > at + 1 + (width * bits + 7) // 8 * 1.0 * height then
    return nil
  end
  return still.picture(width, height)
end

return plain
