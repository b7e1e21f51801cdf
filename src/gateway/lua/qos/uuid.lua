-- Random UUIDs (version 4).

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

-- Opened by each worker itself: what is read ahead before a fork would be given out twice.
local source

local function hex_of(byte)
  return string.format("%02x", byte:byte())
end

function _M.new()
  source = source or assert(io.open("/dev/urandom", "rb"))
  local hex = source:read(16):gsub(".", hex_of)
  local variant = string.format("%x", 8 + tonumber(hex:sub(17, 17), 16) % 4)
  return table.concat({
    hex:sub(1, 8), hex:sub(9, 12), "4" .. hex:sub(14, 16), variant .. hex:sub(18, 20), hex:sub(21),
  }, "-")
end

return _M
