--- What a medium is, by its first bytes, and the reader for it. The declared Content-Type has no say: senders lie.

local source = require("media.source")
local facts = require("media.facts")
local still = require("media.still")

local sniff = {}

-- By the first four bytes: {type, kind, reader}. No reader: known by name only, judged by its bytes.
local FOUR = {
  ["\x89PNG"] = { "png", "image", still.png },
  ["GIF8"] = { "gif", "image", still.gif },
}

local RIFF = {
  ["WEBP"] = { "webp", "image", still.webp },
}

local function by_magic(src)
  if src.total < 4 then
    return nil
  end
  local head = src:text(0, 4)
  if head:sub(1, 3) == "\xFF\xD8\xFF" then
    return { "jpeg", "image", still.jpeg }
  end
  local found = FOUR[head]
  if found then
    return found
  elseif head == "RIFF" and src.total >= 12 then
    return RIFF[src:text(8, 4)]
  elseif head:sub(1, 2) == "BM" and src.total >= 26 then
    return { "bmp", "image", still.bmp }
  end
  return nil
end

local RAISED = {
  [source.TRUNCATED] = true,
  [source.CONTRADICTORY] = true,
  [source.COMPLEX] = true,
}

--- The medium in `src`, judged; nil when its first bytes are of no known kind. Raises MORE.
function sniff.read(src)
  local found = by_magic(src)
  if not found then
    return nil
  end
  local medium
  local reader = found[3]
  if reader then
    local ok, result = pcall(reader, src)
    if ok then
      medium = result
    elseif RAISED[result] then
      medium = { code = result.code }
    else
      error(result, 0)
    end
  else
    medium = {}
  end
  medium.type, medium.kind = medium.type or found[1], medium.kind or found[2]
  medium.bytes = src.total
  return facts.judge(medium)
end

return sniff
