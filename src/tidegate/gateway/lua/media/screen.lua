--- The screen: a pure function from the bytes of a request body to the record of what media it holds.

local source = require("media.source")
local facts = require("media.facts")
local sniff = require("media.sniff")
local multipart = require("media.multipart")
local text = require("media.text")
local quick = require("media.quick")

local screen = {}

-- Kinds that a Content-Type can promise when the bytes say nothing.
local PROMISED = { image = true, audio = true, video = true }

local function unread(size, content_type)
  local kind = (content_type or ""):lower():match("^%s*(%a+)/")
  return facts.judge({ kind = PROMISED[kind] and kind or "other", type = "unknown", bytes = size, exact = false })
end

local function encoded(env)
  return (env.encoding or "") ~= "" and env.encoding:lower() ~= "identity"
end

-- How the body is wrapped: "multipart", "json", "form", or nil for a raw one.
local function container(content_type)
  local name = (content_type or ""):lower()
  return name:find("multipart/", 1, true) and "multipart"
    or name:find("json", 1, true) and "json"
    or name:find("urlencoded", 1, true) and "form"
    or nil
end

-- The record of a raw body from its first bytes in `src`, `more:` or `whole:`.
local function front(src, limits)
  if src.size == 0 then
    return src.total == 0 and facts.record({}, facts.limits(limits)) or facts.WHOLE
  end
  local medium, wanted = sniff.read(src)
  if not medium then
    return wanted == source.MORE and facts.MORE or facts.WHOLE
  end
  return facts.record({ medium }, facts.limits(limits))
end

--- The record of a raw body from its first bytes; `more:` when more of them may tell, `whole:` when it takes the whole
-- body (`screen.body`).
-- @param data         the first bytes
-- @param content_type the request's Content-Type, nil or ""
-- @param limits       see facts.limits
-- @param env          `total`: the body's size in bytes; `encoding`: its Content-Encoding, nil or ""
function screen.head(data, content_type, limits, env)
  if container(content_type) or encoded(env) then
    return facts.WHOLE
  end
  return front(source.bytes(data, 1, #data, math.max(env.total, #data)), limits)
end

--- The same of a raw body without an encoding, from `HEX:TOTAL`: its first bytes in hexadecimal digits, and its size.
function screen.digits(text, limits)
  local colon = text:find(":", 1, true)
  local size = (colon - 1) // 2
  local total = math.max(tonumber(text:sub(colon + 1)), size)
  return quick.record(text, total, limits) or front(source.digits(text, size, total), limits)
end

local read_into

local TEXTUAL = { text = true, multipart = true }

-- What a part of a form says: a medium, an empty file field, another container, or a field that may hold base64.
local function read_part(media, data, first, last, fields, depth, native)
  if last < first then
    return nil
  end
  local content_type = fields["content-type"] or ""
  if (fields["content-transfer-encoding"] or ""):lower():find("base64", 1, true) then
    text.part(media, data, first, last, native)
    return nil
  end
  if container(content_type) then
    return read_into(media, data, first, last, content_type, depth + 1, native)
  end
  local medium = sniff.read(source.bytes(data, first, last - first + 1))
  local is_file = (fields["content-disposition"] or ""):lower():find("filename", 1, true)
  if medium then
    media[#media + 1] = medium
  elseif not is_file and (content_type == "" or TEXTUAL[content_type:lower():match("^%a+")]) then
    text.field(media, data, first, last, native)
  else
    media[#media + 1] = unread(last - first + 1, content_type)
  end
  return nil
end

local MAX_DEPTH = 3

local function read_multipart(media, data, first, last, content_type, depth, native)
  local boundary, others = multipart.boundary(content_type)
  if not boundary then
    return "media_malformed"
  elseif multipart.ambiguous(data, first, last, others) then
    return "media_contradictory"
  end
  local problem
  local fault = multipart.parts(data, first, last, boundary, function(fields, from, to)
    problem = read_part(media, data, from, to, fields, depth, native) or problem
  end)
  return fault or problem
end

-- Adds what data[first..last] holds to `media`; returns a fault code or nil.
function read_into(media, data, first, last, content_type, depth, native)
  if depth > MAX_DEPTH then
    return "media_too_complex"
  end
  local kind = container(content_type)
  -- A medium sent under the name of a container is one all the same: some services never look at the name.
  local medium = sniff.read(source.bytes(data, first, last - first + 1))
  media[#media + 1] = medium
  if kind == "multipart" then
    return read_multipart(media, data, first, last, content_type, depth, native)
  elseif medium then
    return nil
  end
  local opening = data:match("^[%s\xEF\xBB\xBF]*([%[{\"])", first)
  if kind == "json" then
    return text.json(media, data, first, last, native)
  elseif opening and not text.json(media, data, first, last, native) then
    return nil
  elseif kind == "form" then
    return text.form(media, data, first, last, native)
  end
  media[#media + 1] = unread(last - first + 1, content_type)
  return nil
end

--- The record of a whole body, and the media one by one.
-- @param data what is buffered of the body
-- @param env  as for `head`, and `native`: what the proxy can do faster. `base64` decodes strictly, `url_decode` resolves
--             the escapes of a form; both give nil or "" for text that is none of theirs
function screen.body(data, content_type, limits, env)
  env = env or {}
  local total = math.max(env.total or 0, #data)
  local media, problem = {}, nil
  if encoded(env) then
    -- What is compressed is not what the replica will see, and may be a thousand times larger.
    media[1], problem = unread(total, content_type), "media_encoded"
  elseif total > #data then
    -- More than the proxy may buffer: what the front says holds, the rest is judged by its size.
    media[1] = sniff.read(source.bytes(data, 1, #data, total)) or unread(total, content_type)
  elseif #data > 0 then
    problem = read_into(media, data, 1, #data, content_type or "", 1, env.native)
  end
  return facts.record(media, facts.limits(limits), problem), media
end

--- The record of a body that took too long.
screen.TOO_COMPLEX = facts.record({}, {}, source.COMPLEX.code)

--- The record of a body that must count as unread.
function screen.unreadable(size)
  return facts.record({ unread(size) }, {})
end

return screen
