--- The box structure of ISO base media files (ISO/IEC 14496-12): a length, a name, and what is inside.

local source = require("media.source")

local boxes = {}

-- A file with more boxes than this is refused; an hour of two-second fragments has 20 000.
boxes.BUDGET = 65536

--- Name, where the content begins and where the box at `pos` ends; `stop` ends the box around it.
function boxes.at(src, pos, stop)
  local size, name = src:unpack(">I4c4", 8, pos)
  local header = 8
  if size == 1 then
    size, header = src:unpack(">I8", 8, pos + 8), 16
  elseif size == 0 then
    size = stop - pos
  end
  if size < header or size > source.MAX_NUMBER then
    error(source.CONTRADICTORY, 0)
  end
  return name, pos + header, pos + size
end

--- Calls `visit[name](first, stop)` for the boxes from `pos` to `stop`; `state.budget` bounds them all.
-- A box that tells something must not reach beyond the one around it.
function boxes.walk(src, pos, stop, visit, state)
  while pos + 8 <= stop do
    source.spend(state)
    local name, first, last = boxes.at(src, pos, stop)
    local inner = visit[name]
    if inner then
      if last > stop then
        error(stop == src.total and source.TRUNCATED or source.CONTRADICTORY, 0)
      end
      inner(first, last)
    end
    pos = last
  end
end

return boxes
