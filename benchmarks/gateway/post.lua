-- wrk: POST the file BODY (environment) as a JPEG; counts answers that are not 200.
wrk.method = "POST"
wrk.headers["content-type"] = "image/jpeg"
local file = assert(io.open(os.getenv("BODY"), "rb"))
wrk.body = file:read("a")
file:close()

local threads = {}
function setup(thread)
  table.insert(threads, thread)
end
function init()
  failed = 0
end
function response(status)
  if status ~= 200 then
    failed = failed + 1
  end
end
function done(summary, latency)
  local failed = 0
  for _, thread in ipairs(threads) do
    failed = failed + thread:get("failed")
  end
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    failed + e.connect + e.read + e.write + e.timeout))
end
