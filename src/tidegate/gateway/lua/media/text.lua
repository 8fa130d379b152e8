--- Media inside text: JSON documents, forms, single fields. Finds the strings that hold a medium in base64.

local source = require("media.source")
local sniff = require("media.sniff")
local base64 = require("media.base64")
local facts = require("media.facts")
local json = require("media.json")

local text = {}

-- Nothing shorter can be a medium: the smallest GIF takes 48 letters.
local SHORTEST = 40

-- A string of letters alone that is this long is data of some kind, even if its first bytes tell nothing (raw samples).
local SURELY_DATA = 1024

-- Work in one document: quotes and separators looked at, values looked into. What lies behind that counts as unread.
local MAX_MARKS = 500000
local MAX_VALUES = 5000

local function from_form(value, native)
  local decoded = native and native.url_decode and native.url_decode(value)
  if not decoded or decoded == "" then
    decoded = value:gsub("%%(%x%x)", function(hex)
      return string.char(tonumber(hex, 16))
    end)
  end
  if decoded:find(" ", 1, true) then -- a plus that the sender forgot to escape
    decoded = decoded:gsub(" ", "+")
  end
  return decoded
end

-- How the values of a document are written: how to read them, and the mark that shows that they must be rewritten first.
local function json_form()
  return { unescape = json.unescape, mark = "\\", next_mark = 0, marks = MAX_MARKS, values = MAX_VALUES }
end

local function url_form()
  return { unescape = from_form, mark = "%", next_mark = 0, marks = MAX_MARKS, values = MAX_VALUES }
end

-- Whether there is a mark in data[first..last]. Values are asked for in order, so all the searches together pass the
-- document once.
local function marked(form, data, first, last)
  if form.mark and form.next_mark < first then
    form.next_mark = data:find(form.mark, first, true) or math.huge
  end
  return form.mark and form.next_mark <= last
end

local KINDS = { image = true, audio = true, video = true }

local LONGEST_URI_HEAD = 1024

-- For `data:MEDIATYPE;base64,LETTERS` in data[first..last]: where the letters begin, the kind it promises, whether they
-- are base64. Nil for other text.
local function data_uri(data, first, last, form)
  local head = data:sub(first, math.min(last, first + LONGEST_URI_HEAD - 1))
  local comma = head:find(",", 1, true)
  if not comma then
    return nil
  end
  local said = head:sub(1, comma - 1)
  if form.mark and said:find(form.mark, 1, true) then
    said = form.unescape(said)
  end
  said = said:lower()
  local media_type = said:match("^%s*data:(.*)$")
  if not media_type then
    return nil
  end
  local kind = media_type:match("^%s*(%a+)/")
  return first + comma, KINDS[kind] and kind or "other", media_type:find("base64", 1, true) ~= nil
end

local function unread(kind, bytes)
  return facts.judge({ kind = kind, type = "unknown", bytes = bytes, exact = false })
end

-- Letters that are looked at first, and what of a value is searched for them: receivers pass over everything else.
local LETTERS = 64

-- Bytes of a form field's name; a longer one is looked at as if it were the value.
local LONGEST_NAME = 1024
local STRETCHES = { 128, 4096, math.huge }

-- The first letters of data[first..last], without what a receiver would pass over.
local function first_letters(data, first, last, form)
  local letters = ""
  for _, stretch in ipairs(STRETCHES) do
    local head = data:sub(first, math.min(last, first + stretch - 1))
    if form.mark and head:find(form.mark, 1, true) then
      head = form.unescape(head)
    end
    if head:sub(1, LONGEST_URI_HEAD):lower():find("^%s*data:") then
      return nil
    end
    letters = head:gsub("[^%w+/_-]+", "")
    if #letters >= LETTERS or last - first < stretch then
      break
    end
  end
  return (letters:sub(1, LETTERS):gsub("[-_]", base64.URL_SAFE))
end

-- Whether the letters decode to what a medium begins with. What cannot be told from so few is worth a closer look.
local function promising(letters)
  if #letters < 16 or not sniff.FIRST[base64.first_byte(letters)] then
    return false
  end
  local src = base64.source(letters, 1, #letters // 4 * 4)
  src.total = source.ENDLESS
  local ok, found = pcall(sniff.name, src)
  return not ok or found ~= nil
end

-- The medium that data[first..last] holds, or nil.
local function value_medium(data, first, last, form, native)
  local letters, kind, encoded = data_uri(data, first, last, form)
  if letters and not encoded then
    return unread(kind, last - letters + 1)
  end
  local unescape = marked(form, data, first, last) and function(value)
    return form.unescape(value, native)
  end or nil
  local src = base64.source(data, letters or first, last, unescape, native and native.base64)
  return sniff.read(src) or letters and unread(kind, (last - letters + 1) * 3 // 4) or nil
end

-- Whether a value is long and, as far as one looks, nothing but letters: data of some kind. A bare plus in a form is a space.
local function only_letters(data, first, last, form)
  local other = form.mark == "%" and "[^%w/_%%-]" or "[^%w+/_\r\n\\-]"
  return last - first + 1 >= SURELY_DATA and not data:sub(first, first + 255):find(other)
end

-- Appends the medium that data[first..last] holds, if any, to `media`.
local function add_value(media, data, first, last, form, native)
  if last - first + 1 < SHORTEST then
    return
  end
  form.values = form.values - 1
  local letters = first_letters(data, first, last, form)
  local medium
  if not letters or promising(letters) then
    medium = value_medium(data, first, last, form, native)
  end
  if not medium and only_letters(data, first, last, form) then
    medium = unread("other", (last - first + 1) * 3 // 4)
  end
  media[#media + 1] = medium
end

--- The medium in a part that says it is base64.
function text.part(media, data, first, last, native)
  local size = last - first + 1
  local src = base64.source(data, first, last, nil, native and native.base64)
  media[#media + 1] = sniff.read(src) or unread("other", size)
end

-- The rest of a document that holds too much to look at: one medium, judged by its bytes.
local function rest(media, first, last)
  media[#media + 1] = unread("other", last - first + 1)
end

--- Adds the media of a JSON document, which is data[first..last]. Returns a fault code for what cannot be JSON.
function text.json(media, data, first, last, native)
  if data:sub(first, math.min(last, first + 3)):find("\0", 1, true) then
    return "media_malformed" -- UTF-16 or UTF-32: a way to hide strings
  end
  local pos, form = first, json_form()
  while true do
    local open = data:find('"', pos, true)
    if not open or open > last then
      return nil
    end
    local close
    close, form.marks = json.closing_quote(data, open + 1, form.marks)
    if form.marks < 0 or close and close <= last and form.values < 0 then
      return rest(media, open, last)
    elseif not close or close > last then
      return "media_truncated"
    end
    if close - open > SHORTEST then
      add_value(media, data, open + 1, close - 1, form, native)
    end
    pos = close + 1
  end
end

--- Adds the media of an `application/x-www-form-urlencoded` body.
function text.form(media, data, first, last, native)
  local pos, form = first, url_form()
  while pos <= last do
    form.marks = form.marks - 1
    if form.marks < 0 or form.values < 0 then
      return rest(media, pos, last)
    end
    local stop = data:find("&", pos, true)
    stop = stop and stop <= last and stop - 1 or last
    local equals = data:sub(pos, math.min(stop, pos + LONGEST_NAME)):find("=", 1, true)
    add_value(media, data, equals and pos + equals or pos, stop, form, native)
    pos = stop + 2
  end
  return nil
end

--- Adds the medium of one plain field, if it holds one.
function text.field(media, data, first, last, native)
  add_value(media, data, first, last, { values = 1 }, native)
end

return text
