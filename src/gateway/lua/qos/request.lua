-- The request of this phase, as ngx.var has it. Its functions in resty.core end with a tail call of a
-- built-in function: LuaJIT begins no trace there, gives such a function up before long, and with it
-- whatever calls it.

local base = require("resty.core.base")
local ffi = require("ffi")
require("resty.core.var")

local _M = {}

local C = ffi.C
local declined = base.FFI_DECLINED
local address_type = ffi.typeof("uintptr_t")
local value_pointer = ffi.new("unsigned char *[1]")
local error_pointer = base.get_errmsg_ptr()

-- A variable of nginx; nil where it has none.
function _M.var(name)
  local length = base.get_size_ptr()
  local result = C.ngx_http_lua_ffi_var_get(
    base.get_request(), name, #name, base.get_string_buf(#name), 0, value_pointer, length,
    error_pointer
  )
  if result == 0 then
    local value = ffi.string(value_pointer[0], length[0])
    return value
  elseif result ~= declined then
    error("no variable " .. name)
  end
  return nil
end

-- A number for the request, as long as it lasts.
function _M.address()
  local address = tonumber(ffi.cast(address_type, base.get_request()))
  return address
end

return _M
