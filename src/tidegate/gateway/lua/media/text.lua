--- Media inside text: JSON documents, forms, single fields. Finds the strings that hold a medium in base64.

local source = require("media.source")
local sniff = require("media.sniff")
local base64 = require("media.base64")
local facts = require("media.facts")

local text = {}

-- Nothing shorter can be a medium: the smallest GIF takes 48 letters.
local SHORTEST = 40

-- A string of letters alone that is this long is data of some kind, even if its first bytes tell nothing (raw samples).
local SURELY_DATA = 1024

local MAX_STRINGS = 1000000

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function from_json(value)
  value = value:gsub("\\u(%x%x%x%x)", function(hex)
    local code = tonumber(hex, 16)
    return code < 128 and string.char(code) or "?"
  end)
  return (value:gsub("\\(.)", function(c)
    return ESCAPES[c] or c
  end))
end

local function from_form(value)
  value = value:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end)
  return (value:gsub(" ", "+")) -- a plus that the sender forgot to escape
end

-- How a value is written, and the mark that it must be rewritten to be read.
local JSON = { unescape = from_json, mark = "\\" }
local FORM = { unescape = from_form, mark = "%" }
local PLAIN = {}

local KINDS = { image = true, audio = true, video = true }

-- The letters behind `data:MEDIATYPE;base64,`, and the kind it promises; nil for other text.
local function data_uri(value)
  local head = value:sub(1, 1024):lower()
  local start = head:match("^%s*data:()")
  local comma = start and head:find(",", start, true)
  if not comma then
    return nil
  end
  head = head:sub(start, comma - 1)
  local kind = head:match("^%s*(%a+)/")
  return value:sub(comma + 1), KINDS[kind] and kind or "other", head:find("base64", 1, true) ~= nil
end

local function unread(kind, bytes)
  return facts.judge({ kind = kind, type = "unknown", bytes = bytes, exact = false })
end

-- Letters that are looked at first, and what of a value is searched for them: receivers pass over everything else.
local LETTERS = 64
local STRETCHES = { 128, 4096, math.huge }

-- The first letters of data[first..last], without what a receiver would pass over.
local function first_letters(data, first, last, form)
  local letters = ""
  for _, stretch in ipairs(STRETCHES) do
    local head = data:sub(first, math.min(last, first + stretch - 1))
    if form.mark and head:find(form.mark, 1, true) then
      head = form.unescape(head)
    end
    if head:sub(1, 512):lower():find("^%s*data:") then
      return nil
    end
    letters = head:gsub("[^%w+/_-]+", "")
    if #letters >= LETTERS or last - first < stretch then
      break
    end
  end
  return letters:sub(1, LETTERS)
end

-- Whether the letters decode to what a medium begins with. What cannot be told from so few is worth a closer look.
local function promising(letters)
  if #letters < 16 then
    return false
  end
  local src = base64.source(letters:sub(1, #letters // 4 * 4))
  src.total = source.ENDLESS
  local ok, found = pcall(sniff.name, src)
  return not ok or found ~= nil
end

-- The medium that a value holds, or nil.
local function value_medium(value, form, native)
  if form.mark and value:find(form.mark, 1, true) then
    value = form.unescape(value)
  end
  local letters, kind, encoded = data_uri(value)
  if letters and not encoded then
    return unread(kind, #letters)
  end
  local found = sniff.read(base64.source(letters or value, native))
  return found or letters and unread(kind, #value * 3 // 4) or nil
end

local function only_letters(data, first, last)
  return last - first + 1 >= SURELY_DATA and not data:sub(first, first + 255):find("[^%w+/_\r\n\\-]")
end

-- Appends the medium that data[first..last] holds, if any, to `media`.
local function add_value(media, data, first, last, form, native)
  if last - first + 1 < SHORTEST then
    return
  end
  local letters = first_letters(data, first, last, form)
  local medium
  if not letters or promising(letters) then
    medium = value_medium(data:sub(first, last), form, native)
  end
  if not medium and only_letters(data, first, last) then
    medium = unread("other", (last - first + 1) * 3 // 4)
  end
  media[#media + 1] = medium
end

--- The medium in a part that says it is base64.
function text.part(media, data, first, last, native)
  local size = last - first + 1
  media[#media + 1] = sniff.read(base64.source(data:sub(first, last), native)) or unread("other", size)
end

-- The quote that ends the string which begins at `first`, or nil.
local function closing_quote(data, first)
  local at = first
  while true do
    local quote = data:find('"', at, true)
    if not quote then
      return nil
    end
    local slash = quote
    while slash > first and data:byte(slash - 1) == 0x5C do
      slash = slash - 1
    end
    if (quote - slash) % 2 == 0 then
      return quote
    end
    at = quote + 1
  end
end

--- Adds the media of a JSON document, which is data[first..last]. Returns a fault code for what cannot be JSON.
function text.json(media, data, first, last, native)
  if data:sub(first, math.min(last, first + 3)):find("\0", 1, true) then
    return "media_malformed" -- UTF-16 or UTF-32: a way to hide strings
  end
  local pos = first
  for _ = 1, MAX_STRINGS do
    local open = data:find('"', pos, true)
    if not open or open > last then
      return nil
    end
    local close = closing_quote(data, open + 1)
    if not close or close > last then
      return "media_truncated"
    end
    if close - open > SHORTEST then
      add_value(media, data, open + 1, close - 1, JSON, native)
    end
    pos = close + 1
  end
  return source.COMPLEX.code
end

--- Adds the media of an `application/x-www-form-urlencoded` body.
function text.form(media, data, first, last, native)
  local pos = first
  for _ = 1, MAX_STRINGS do
    if pos > last then
      return nil
    end
    local stop = data:find("&", pos, true)
    stop = stop and stop <= last and stop - 1 or last
    local equals = data:find("=", pos, true)
    add_value(media, data, equals and equals <= stop and equals + 1 or pos, stop, FORM, native)
    pos = stop + 2
  end
  return source.COMPLEX.code
end

--- Adds the medium of one plain field, if it holds one.
function text.field(media, data, first, last, native)
  add_value(media, data, first, last, PLAIN, native)
end

return text
