-- The request of this phase, as ngx.var has it. Its functions in resty.core end with a tail call of a
-- built-in function: LuaJIT begins no trace there, gives such a function up before long, and with it
-- whatever calls it.

local base = require("resty.core.base")
local ffi = require("ffi")
require("resty.core.request")
require("resty.core.var")

local _M = {}

local C = ffi.C
local new_table = base.new_tab
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

local element_type = ffi.typeof("ngx_http_lua_ffi_table_elt_t *")
local element_bytes = ffi.sizeof("ngx_http_lua_ffi_table_elt_t")
local were_left_out = ffi.new("int[1]")

local function add(headers, element)
  local name = ffi.string(element.key.data, element.key.len)
  local value = ffi.string(element.value.data, element.value.len)
  local before = headers[name]
  if before == nil then
    headers[name] = value
  elseif type(before) == "table" then
    before[#before + 1] = value
  else
    headers[name] = { before, value }
  end
end

-- Adds the first sixteen without a loop: LuaJIT gives up loops that are left soon, and with them
-- whatever calls them.
local function add_first(headers, elements, count)
  add(headers, elements[0])
  if count == 1 then return end
  add(headers, elements[1])
  if count == 2 then return end
  add(headers, elements[2])
  if count == 3 then return end
  add(headers, elements[3])
  if count == 4 then return end
  add(headers, elements[4])
  if count == 5 then return end
  add(headers, elements[5])
  if count == 6 then return end
  add(headers, elements[6])
  if count == 7 then return end
  add(headers, elements[7])
  if count == 8 then return end
  add(headers, elements[8])
  if count == 9 then return end
  add(headers, elements[9])
  if count == 10 then return end
  add(headers, elements[10])
  if count == 11 then return end
  add(headers, elements[11])
  if count == 12 then return end
  add(headers, elements[12])
  if count == 13 then return end
  add(headers, elements[13])
  if count == 14 then return end
  add(headers, elements[14])
  if count == 15 then return end
  add(headers, elements[15])
end

local function add_from(headers, elements, place, count)
  for index = place, count - 1 do
    add(headers, elements[index])
  end
end

-- All headers by their names in lower case, however many there are: a list of those of one name.
function _M.headers()
  local of = base.get_request()
  local count = C.ngx_http_lua_ffi_req_get_headers_count(of, 0, were_left_out)
  if count < 0 then
    error("no headers in this phase")
  elseif count == 0 then
    return {}
  end
  local elements = ffi.cast(element_type, base.get_string_buf(count * element_bytes))
  if C.ngx_http_lua_ffi_req_get_headers(of, elements, count, 0) ~= 0 then
    error("no headers")
  end
  local headers = new_table(0, count)
  add_first(headers, elements, count)
  if count > 16 then
    add_from(headers, elements, 16, count)
  end
  return headers
end

-- A number for the request, as long as it lasts.
function _M.address()
  local address = tonumber(ffi.cast(address_type, base.get_request()))
  return address
end

return _M
