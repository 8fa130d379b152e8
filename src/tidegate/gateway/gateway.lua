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

-- Answers 413 after having read the body (at most DRAIN_BYTES of it): a connection that is closed while the client is
-- still sending is reset by the kernel, and most clients then report a broken connection instead of the answer.

local DRAIN_BYTES = 64 * 1024 * 1024
local BODY = '{"error": {"code": "body_too_large", "message": "The body is larger than this service accepts.", ' ..
  '"requestId": "%s"}}'

local function refuse_body(applet)
  local read = 0
  while read < DRAIN_BYTES do
    local part = applet:receive(1024 * 1024)
    if part == nil or #part == 0 then
      break
    end
    read = read + #part
  end
  local body = string.format(BODY, applet:get_var("txn.rid") or "")
  applet:set_status(413)
  applet:add_header("content-type", "application/json")
  applet:add_header("content-length", tostring(#body))
  if read >= DRAIN_BYTES then
    applet:add_header("connection", "close")
  end
  applet:start_response()
  applet:send(body)
end

core.register_service("refuse_body", "http", refuse_body)
