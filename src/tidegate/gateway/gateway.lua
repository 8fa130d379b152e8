-- Holds a request until its pool has a server that can take it, at most the given number of milliseconds.
-- HAProxy answers 503 at once when a pool has no usable server and queues only when it has one; this is what makes
-- scaling from zero work. core.msleep gives the thread back, so waiting costs one timer per request and step.

local STEP_MS = 10
local LONGEST_STEP_MS = 100

local function wait_for_server(txn, longest_ms)
  local longest = tonumber(longest_ms)
  local backend = txn.f:be_name()
  local waited, step = 0, STEP_MS
  while txn.f:nbsrv(backend) == 0 and waited < longest do
    core.msleep(step)
    waited = waited + step
    -- A start takes seconds: look often at first (a short gap between two replicas), less often later.
    step = math.min(LONGEST_STEP_MS, step + 2)
  end
end

core.register_action("wait_for_server", {"http-req"}, wait_for_server, 1)

-- The refusals, by code, stand in front of this script: status and message.
--
-- They are given after having read the body: a connection that is closed while the client is still sending is reset by the
-- kernel, and most clients then report a broken connection instead of the answer. That is a courtesy with bounds: so many
-- bytes, so many seconds, and so many requests of a thread at a time; beyond them the answer comes at once and the
-- connection is closed. A piece is waited for as a whole, so a client that drips holds one of the few places, no more.

local DRAIN_BYTES = 64 * 1024 * 1024
local DRAIN_S = 30
local DRAIN_PIECE = 64 * 1024
local MOST_DRAINING = 64
local draining = 0

-- A place, given back by `free` or, when the client leaves and this is never gone on with, by the collector.
local Place = {}
Place.__index = Place

function Place.free(place)
  if place.taken then
    place.taken = false
    draining = draining - 1
  end
end

Place.__gc = Place.free

-- Whether all of the body was read.
local function drained(applet)
  if draining >= MOST_DRAINING then
    return false
  end
  draining = draining + 1
  local place = setmetatable({taken = true}, Place)
  local read, began, whole = 0, core.now().sec, false
  while not whole and read < DRAIN_BYTES and core.now().sec - began < DRAIN_S do
    local part = applet:receive(DRAIN_PIECE)
    whole = part == nil or #part < DRAIN_PIECE
    read = read + (part and #part or 0)
  end
  place:free()
  return whole
end

local BODY = '{"error": {"code": "%s", "message": "%s", "requestId": "%s"}}'

local function refuse(applet, code, headers)
  local status, message = table.unpack(REFUSALS[code])
  -- What comes behind CONNECT is no body and never ends.
  local whole = applet.method ~= "CONNECT" and drained(applet)
  local body = string.format(BODY, code, message, applet:get_var("txn.rid") or "")
  applet:set_status(status)
  applet:add_header("content-type", "application/json")
  applet:add_header("x-tidegate-refused", code)
  for name, value in pairs(headers) do
    applet:add_header(name, value)
  end
  applet:add_header("content-length", tostring(#body))
  if not whole then
    applet:add_header("connection", "close")
  end
  applet:start_response()
  applet:send(body)
end

for code in pairs(REFUSALS) do
  core.register_service("refuse_" .. code, "http", function(applet)
    refuse(applet, code, {})
  end)
end

core.register_service("refuse_tenant", "http", function(applet)
  local code = applet:get_var("txn.code")
  local status = REFUSALS[code][1]
  local headers = {}
  if status == 401 then
    headers["www-authenticate"] = "Bearer"
  elseif status == 429 then
    headers["retry-after"] = tostring(code == "concurrency_limited" and 1 or applet:get_var("txn.retry"))
  end
  refuse(applet, code, headers)
end)

-- A replica that answered 5xx FAILURES times in a row, or 503 twice, rests: it is down until the proxy's next look at its
-- port (at most 2 s), while others serve. One that broke off a request which will be sent again rests at once. The last
-- one of a pool never does: an answer 5xx says more than none. The counters are those of the process, so all threads see
-- the same row; nothing here costs a good answer anything.

local FAILURES, UNAVAILABLE = 5, 2
local MOST_ROWS = 4096
local rows, count = {}, 0

local function server_of(txn)
  local backend, name = txn.f:be_name(), txn.f:srv_name()
  return core.backends[backend].servers[name], backend, name
end

local function rest_now(txn)
  local server, backend = server_of(txn)
  if server ~= nil and txn.f:nbsrv(backend) > 1 then
    server:check_force_down()
    return true
  end
  return false
end

local function rest_failing(txn)
  local server, backend, name = server_of(txn)
  if server == nil then
    return
  end
  local stats = server:get_stats()
  local failed, answered = stats.hrsp_5xx, stats.hrsp_1xx + stats.hrsp_2xx + stats.hrsp_3xx + stats.hrsp_4xx
  local key = backend .. "/" .. name
  local row = rows[key]
  if row == nil then
    -- Replicas come and go, their rows stay: begin anew now and then.
    count = count + 1
    if count > MOST_ROWS then
      rows, count = {}, 1
    end
  end
  if row == nil or row.answered ~= answered or row.failed > failed then
    row = {answered = answered, failed = failed - 1}
    rows[key] = row
  end
  if failed - row.failed >= (txn.f:status() == 503 and UNAVAILABLE or FAILURES) then
    row.failed = failed
    rest_now(txn)
  end
end

core.register_action("rest_failing", {"http-res"}, rest_failing, 0)
-- A sample, since rules behind a response cannot run an action in Lua.
core.register_fetches("rest_now", rest_now)
