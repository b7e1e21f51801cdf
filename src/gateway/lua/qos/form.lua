-- Fields of a form that uploads an object to S3 (POST, multipart/form-data). They stand before the
-- file. The body is read whole before it is forwarded, so that its length is bounded.

local _M = {}

local longest_fields = 65536

function _M.is_form(method, headers)
  local content_type = rawget(headers, "content-type")
  return method == "POST" and type(content_type) == "string"
    and content_type:lower():find("^multipart/form%-data") ~= nil
end

local function boundary_of(content_type)
  return content_type:match('[bB][oO][uU][nN][dD][aA][rR][yY]="([^"]+)"')
    or content_type:match("[bB][oO][uU][nN][dD][aA][rR][yY]=([^;%s]+)")
end

-- The fields before the file, by names in lower case; nil and "ambiguous" where one is there twice.
function _M.parse(text, boundary)
  local fields = {}
  local mark = "--" .. boundary
  if text:sub(1, #mark) ~= mark then
    return nil, "malformed"
  end
  local at = #mark + 1
  while true do
    local head_start, head_end = text:find("\r\n\r\n", at, true)
    if head_start == nil then
      return fields
    end
    local head = text:sub(at, head_start)
    local name = head:match('[nN][aA][mM][eE]="([^"]*)"')
    name = name and name:lower()
    if name == nil or name == "file" or head:lower():find("filename", 1, true) then
      return fields
    end
    local value_end = text:find("\r\n" .. mark, head_end + 1, true)
    if value_end == nil then
      return fields
    elseif fields[name] ~= nil then
      return nil, "ambiguous"
    end
    fields[name] = text:sub(head_end + 1, value_end - 1)
    at = value_end + 2 + #mark
  end
end

local function beginning_of_body()
  local data = ngx.req.get_body_data()
  if data then
    return data:sub(1, longest_fields)
  end
  local path = ngx.req.get_body_file()
  local file = path and io.open(path, "rb")
  if not file then
    return ""
  end
  local text = file:read(longest_fields)
  file:close()
  return text or ""
end

-- Reads the body and answers the fields before its file; or nil and "missing" (forms are not taken),
-- "too_large", "no_length", "malformed" or "ambiguous".
function _M.read(headers, most_bytes)
  local length = rawget(headers, "content-length")
  local boundary = boundary_of(headers["content-type"])
  if most_bytes == 0 then
    return nil, "missing"
  elseif type(length) ~= "string" or not length:find("^%d+$") then
    return nil, "no_length"
  elseif boundary == nil then
    return nil, "malformed"
  elseif tonumber(length) > most_bytes then
    return nil, "too_large"
  end
  ngx.req.read_body()
  return _M.parse(beginning_of_body(), boundary)
end

return _M
