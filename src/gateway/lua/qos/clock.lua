-- nginx's clock. ngx.now() of resty.core ends with a tail call of a built-in function: LuaJIT begins no
-- trace there, gives that function up before long, and with it whatever calls it.

local ffi = require("ffi")

local _M = {}

pcall(ffi.cdef, "double ngx_http_lua_ffi_now(void);")
local C = ffi.C

-- Seconds since the epoch, as of the last time that nginx read the clock.
function _M.now()
  local seconds = tonumber(C.ngx_http_lua_ffi_now())
  return seconds
end

return _M
