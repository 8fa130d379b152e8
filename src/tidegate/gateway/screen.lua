--- HAProxy binding of the media screen. Load it with `lua-load-per-thread`, with `lua/?.lua` on the Lua path.
--
--   converter  lua.media_digits(LIMITS)  the record of a raw body from `HEX:SIZE`, its first bytes in hexadecimal digits
--                                        and its size; `more:...` or `whole:...` when they do not tell
--   fetch      lua.media_head(LIMITS)    the same from more bytes, which the configuration has put in `txn.media_head`
--   action     lua.media_body LIMITS     reads the whole buffered body and sets `txn.media` to its record
--
-- The converter is the cheap one: HAProxy makes no objects for it. It gets digits because HAProxy cuts what it hands to
-- one at the first zero byte. They serve raw bodies whose header lies in front; the action serves what is left
-- (multipart, JSON, forms, indexes at the end of a file) and lets other requests run while it works.

local screen = require("media.screen")

-- What a request leaves behind is collected when the heap has grown tenfold, not twofold: it starts at a third of a
-- megabyte, and collecting that often would cost more than reading the media.
collectgarbage("setpause", 1000)

-- A fault in the screen itself must not let a request pass as small: it counts as unread, as large as its bytes allow.
local function fallback(fault, size)
  core.Alert("media screen: " .. tostring(fault))
  return screen.unreadable(size)
end

-- The whole value of a header (`req.hdr` would cut it at its last comma). One that is sent twice may be read either way: all
-- of its values, so that nothing is known of it that one of them denies.
local function header(txn, name)
  local count = txn.f:req_fhdr_cnt(name)
  if count <= 1 then
    return txn.sf:req_fhdr(name)
  end
  local values = {}
  for k = 1, count do
    values[k] = txn.sf:req_fhdr(name, k)
  end
  return table.concat(values, "; ")
end

-- The configuration calls these two only where no header says that the body is wrapped or encoded.
core.register_converters("media_digits", function(text, limits)
  local ok, record = pcall(screen.digits, text, limits)
  return ok and record or fallback(record, tonumber(text:match("%d+$")))
end)

core.register_fetches("media_head", function(txn, limits)
  local total = txn.f:req_body_size()
  local ok, record = pcall(screen.head, txn:get_var("txn.media_head") or "", "", limits, { total = total })
  return ok and record or fallback(record, total)
end)

core.register_action("media_body", { "http-req" }, function(txn, limits)
  -- HAProxy ends an action that takes too long (tune.lua.session-timeout); this is what stays then.
  txn:set_var("txn.media", screen.TOO_COMPLEX)
  local data = txn.sf:req_body() or ""
  local total = tonumber(txn.sf:req_body_size()) or 0
  local ok, record = pcall(screen.body, data, header(txn, "content-type"), limits, {
    total = total,
    encoding = header(txn, "content-encoding"),
    native = {
      base64 = function(text)
        return txn.c:b64dec(text)
      end,
      url_decode = function(text)
        return txn.c:url_dec(text)
      end,
    },
  })
  txn:set_var("txn.media", ok and record or fallback(record, math.max(#data, total)))
  if #data > 1048576 then
    collectgarbage() -- a big body is not kept until the collector finds the time
  end
end, 1)
