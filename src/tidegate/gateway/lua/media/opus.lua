--- Opus packets, which state their own length. Written from RFC 6716, section 3.

local opus = {}

-- Samples at 48 kHz in a frame, by the configuration in the first five bits of an Opus packet.
local function opus_frame(config)
  if config < 12 then
    return ({ 480, 960, 1920, 2880 })[config % 4 + 1]
  elseif config < 16 then
    return config % 2 == 0 and 480 or 960
  end
  return 120 << (config % 4)
end

--- Samples at 48 kHz that the packet of `size` bytes at `at` decodes to; no packet holds more than 120 ms.
function opus.samples(src, at, size)
  if size < 1 then
    return 0
  end
  local toc = src:byte(at)
  local code = toc & 3
  local count = code == 0 and 1 or code < 3 and 2 or size > 1 and src:byte(at + 1) & 63 or 0
  return math.min(count * opus_frame(toc >> 3), 5760)
end

return opus
