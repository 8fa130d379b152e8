--- HAProxy binding for media that are named by URL. Load it with `lua-load-per-thread`, with `lua/?.lua` on the Lua path.
--
--   action  lua.media_by_url LIMITS SERVICE KEYS MOST REQUIRED WITHIN_MS SOCKET
--
-- Finds the URLs in the buffered JSON body, has the helper behind SOCKET fetch the first bytes of each, screens them and
-- what the body itself holds, and sets `txn.media` to the record of all and `txn.media_by_url`. Without a URL it sets
-- nothing, unless one is REQUIRED. While it waits, the thread serves others.

local screen = require("media.screen")
local facts = require("media.facts")
local urls = require("fetch.urls")

local NO_LIMITS = "-"
local KINDS = { image = true, audio = true, video = true }

local function fail(txn, limits, code)
  txn:set_var("txn.media", facts.record({}, facts.limits(limits), code))
  txn:set_var("txn.media_by_url", code)
end

-- Adds the media in the head of what was fetched; what cannot be told counts as large as its bytes allow.
local function add(media, part)
  local kind = part.type:match("^(%a+)/")
  local said = KINDS[kind] and part.type or ""
  local _, found = screen.body(part.data, said, NO_LIMITS, { total = part.total })
  if #found == 0 then
    _, found = screen.body(part.data, said, NO_LIMITS, { total = part.total + 1 })
  end
  for _, medium in ipairs(found) do
    media[#media + 1] = medium
  end
end

local function fetched(found, service, within_ms, socket)
  local answer = core.httpclient():post({
    url = "http://127.0.0.1/heads",
    dst = "unix@" .. socket,
    headers = { ["x-service"] = { service } },
    body = table.concat(found, "\n"),
    timeout = within_ms,
  })
  return answer and answer.status == 200 and urls.parts(answer.body or "", #found) or nil
end

local function by_url(txn, limits, service, keys, most, required, within_ms, socket)
  local wanted = {}
  for key in keys:gmatch("[^+]+") do
    wanted[key] = true
  end
  local of_body = txn:get_var("txn.media")
  fail(txn, limits, "media_too_complex") -- what stays when HAProxy ends an action that takes too long
  local body = txn.sf:req_body() or ""
  if (tonumber(txn.sf:req_body_size()) or 0) > #body then
    return fail(txn, limits, "media_too_complex") -- URLs behind what is held could not be looked at
  end
  local found, problem = urls.find(body, wanted, tonumber(most))
  if problem then
    return fail(txn, limits, problem)
  elseif #found == 0 then
    txn:set_var("txn.media", of_body)
    txn:unset_var("txn.media_by_url")
    return required == "1" and fail(txn, limits, "media_missing") or nil
  end
  local parts = fetched(found, service, tonumber(within_ms), socket)
  if not parts then
    return fail(txn, limits, "media_url_busy")
  end
  local _, media = screen.body(body, txn.sf:req_hdr("content-type") or "", NO_LIMITS, { total = #body })
  for _, part in ipairs(parts) do
    if part.code ~= "ok" then
      return fail(txn, limits, part.code)
    end
    add(media, part)
  end
  txn:set_var("txn.media", facts.record(media, facts.limits(limits)))
  txn:set_var("txn.media_by_url", "ok")
end

core.register_action("media_by_url", { "http-req" }, by_url, 7)
