--- The screen: a pure function from the bytes of a request body to the record of what media it holds.

local source = require("media.source")
local facts = require("media.facts")
local sniff = require("media.sniff")

local screen = {}

-- Kinds that a Content-Type can promise when the bytes say nothing.
local PROMISED = { image = true, audio = true, video = true }

local function unread(size, content_type)
  local kind = (content_type or ""):lower():match("^%s*(%a+)/")
  return facts.judge({ kind = PROMISED[kind] and kind or "other", type = "unknown", bytes = size, exact = false })
end

local function guarded(call, ...)
  local ok, result = pcall(call, ...)
  if not ok and result ~= source.MORE then
    error(result, 0)
  end
  return ok and result
end

local function encoded(env)
  return (env.encoding or "") ~= "" and env.encoding:lower() ~= "identity"
end

local function container(content_type)
  local name = (content_type or ""):lower()
  return name:find("multipart/", 1, true) or name:find("json", 1, true) or name:find("urlencoded", 1, true)
end

--- The record of a raw body from its first bytes, or `more` when it takes the whole body to tell (`screen.body`).
-- @param data         the first bytes
-- @param content_type the request's Content-Type, nil or ""
-- @param limits       see facts.limits
-- @param env          `total`: the body's size in bytes; `encoding`: its Content-Encoding, nil or ""
function screen.head(data, content_type, limits, env)
  if container(content_type) or encoded(env) then
    return facts.MORE
  end
  if #data == 0 then
    return env.total == 0 and facts.record(facts.request({}, facts.limits(limits))) or facts.MORE
  end
  local medium = guarded(sniff.read, source.bytes(data, 1, #data, math.max(env.total, #data)))
  if not medium then
    return facts.MORE
  end
  return facts.record(facts.request({ medium }, facts.limits(limits)))
end

--- The record of a whole body, and the media one by one.
-- @param data what is buffered of the body
-- @param env  as for `head`, and `base64`: a strict decoder in C, nil or "" for text that is not base64
function screen.body(data, content_type, limits, env)
  env = env or {}
  local total = math.max(env.total or 0, #data)
  local media, problem = {}, nil
  if encoded(env) then
    -- What is compressed is not what the replica will see, and may be a thousand times larger.
    media[1], problem = unread(total, content_type), "media_encoded"
  elseif #data > 0 then
    media[1] = guarded(sniff.read, source.bytes(data, 1, #data, total)) or unread(total, content_type)
  end
  return facts.record(facts.request(media, facts.limits(limits), problem)), media
end

--- The record of a body that must count as unread.
function screen.unreadable(size)
  return facts.record(facts.request({ unread(size) }, {}))
end

return screen
