-- Fields of a form that uploads an object to S3 (POST, multipart/form-data). They stand before the
-- file. The body is read whole before it is forwarded, so that its length is bounded.
--
-- Parsers of forms are many, and lenient in ways of their own: what does not follow the grammar as
-- clients write it is refused.

local trim = require("qos.trim")

local _M = {}

local longest_fields = 65536
local piece_bytes = 1024 * 1024

local function is_form_type(content_type)
  return content_type:lower():find("^%s*multipart/form%-data") ~= nil
end

function _M.is_form(method, headers)
  local content_type = rawget(headers, "content-type")
  if method ~= "POST" or content_type == nil then
    return false
  elseif type(content_type) == "string" then
    return is_form_type(content_type)
  end
  for _, one in ipairs(content_type) do
    if is_form_type(one) then
      return true
    end
  end
  return false
end

local token = "[%w!#%$&'%+%-%.%^_`|~]+"

-- Parameters such as '; name="a"; filename="b"' by their names in lower case: each of `allowed`, and
-- once. Nil where they are anything else.
local function parameters_of(text, allowed)
  local parameters = {}
  while text ~= "" do
    local name, rest = text:match("^ *; *(" .. token .. ")=(.*)$")
    if name == nil then
      return nil
    end
    local value, behind = rest:match('^"([^"\\%c]*)"(.*)$')
    if value == nil then
      value, behind = rest:match("^(" .. token .. ")(.*)$")
    end
    name = name:lower()
    if value == nil or not allowed[name] or parameters[name] then
      return nil
    end
    parameters[name], text = value, behind
  end
  return parameters
end

local function boundary_of(content_type)
  local rest = type(content_type) == "string"
    and content_type:match("^[mM][uU][lL][tT][iI][pP][aA][rR][tT]/[fF][oO][rR][mM]%-[dD][aA][tT][aA](.*)$")
  local parameters = rest and parameters_of(rest, { boundary = true, charset = true })
  if parameters == nil or (parameters.charset or "utf-8"):lower() ~= "utf-8" then
    return nil
  end
  local boundary = parameters.boundary
  return boundary and #boundary <= 70 and boundary:find("^[%w'%(%)%+_,%-%./:=%?]+$") and boundary
    or nil
end

local allowed_headers = {
  ["content-disposition"] = true, ["content-type"] = true, ["content-length"] = true,
  ["content-transfer-encoding"] = true,
}
local plain_encodings = { ["7bit"] = true, ["8bit"] = true, ["binary"] = true }

-- The name of a part, and whether it is the file; nil where its head is unclear. `head` ends with the
-- end of its last line.
local function part_of(head)
  local headers = {}
  for line in head:gmatch("([^\n]*)\n") do
    local name, value = line:match("^([%w%-]+):[ \t]*([^%c]*)\r$")
    name = name and name:lower()
    if name == nil or not allowed_headers[name] or headers[name] then
      return nil
    end
    headers[name] = value
  end
  local encoding = headers["content-transfer-encoding"] or "binary"
  local rest = (headers["content-disposition"] or ""):match("^[fF][oO][rR][mM]%-[dD][aA][tT][aA](.*)$")
  if rest == nil or not plain_encodings[trim.both(encoding):lower()] then
    return nil
  end
  local parameters = parameters_of(rest, { name = true, filename = true })
  local name = parameters and parameters.name
  if not name or not name:find("^[!-~]+$") then
    return nil
  end
  name = name:lower()
  if parameters.filename and name ~= "file" then
    return nil
  end
  return name, name == "file"
end

-- Reads parts from behind a boundary on until the file or the end. Answers where the file begins, or
-- nil; then why the form is refused.
local function read_parts(text, at, mark, fields)
  while true do
    local ending = text:sub(at, at + 1)
    if ending == "--" then
      local rest = text:sub(at + 2)
      return nil, rest ~= "" and rest ~= "\r\n" and "form" or nil
    end
    local head_end = text:find("\r\n\r\n", at, true)
    if ending ~= "\r\n" or head_end == nil then
      return nil, "form"
    end
    local name, is_file = part_of(text:sub(at + 2, head_end + 1))
    if name == nil then
      return nil, "form"
    elseif is_file then
      return head_end + 4
    elseif fields[name] ~= nil then
      return nil, "ambiguous"
    end
    local value_end = text:find(mark, head_end + 4, true)
    -- The line end before a boundary may be the one behind the head: the value is empty then.
    if value_end == nil or text:sub(value_end - 2, value_end - 1) ~= "\r\n"
      or value_end < head_end + 6
    then
      return nil, "form"
    end
    fields[name] = text:sub(head_end + 4, value_end - 3)
    at = value_end + #mark
  end
end

-- What a store that looks behind the file as well must not find there.
local function names_identity(fields)
  for name in pairs(fields) do
    if name:find("^x%-amz%-") or name == "policy" or name == "awsaccesskeyid"
      or name == "signature" or name == "key"
    then
      return true
    end
  end
  return false
end

-- Nil and why not where what follows the file is unclear. `read`: answers a piece of the body behind
-- what was read before, nil at its end.
local function check_behind_file(text, mark, read)
  local at = text:find(mark, 1, true)
  while at == nil do
    local piece = read()
    if piece == nil then
      return nil, "form"
    end
    text = text:sub(-#mark - 2) .. piece
    at = text:find(mark, 1, true)
  end
  local pieces = { text:sub(at + #mark) }
  local length = #pieces[1]
  for piece in read do
    pieces[#pieces + 1], length = piece, length + #piece
    if length > longest_fields then
      return nil, "form"
    end
  end
  if text:sub(at - 2, at - 1) ~= "\r\n" or length > longest_fields then
    return nil, "form"
  end
  local fields = {}
  local file_at, why = read_parts(table.concat(pieces), 1, mark, fields)
  if file_at or names_identity(fields) then
    return nil, "ambiguous"
  end
  return why == nil or nil, why
end

-- The fields before the file, by names in lower case; nil and "form" where they are unclear,
-- "ambiguous" where one is there twice.
local function parse(boundary, read)
  local fields, mark, text = {}, "--" .. boundary, ""
  repeat
    local piece = read()
    text = text .. (piece or "")
  until piece == nil or #text >= longest_fields
  if text:sub(1, #mark) ~= mark then
    return nil, "form"
  end
  local file_at, why = read_parts(text, #mark + 1, mark, fields)
  if why then
    return nil, why
  elseif file_at then
    local is_clear
    is_clear, why = check_behind_file(text:sub(file_at), mark, read)
    return is_clear and fields, why
  end
  return fields
end

-- A function that answers the body piece by piece, and one that ends it.
local function body_reader()
  local data = ngx.req.get_body_data()
  local path = ngx.req.get_body_file()
  if data or not path then
    return function()
      local piece = data
      data = nil
      return piece
    end, function() end
  end
  local file = assert(io.open(path, "rb"))
  return function()
    return file:read(piece_bytes)
  end, function()
    file:close()
  end
end

-- Reads the body and answers the fields before its file; or nil and "missing" (forms are not taken),
-- "too_large", "no_length", "form" or "ambiguous".
function _M.read(headers, most_bytes)
  local length = rawget(headers, "content-length")
  local boundary = boundary_of(rawget(headers, "content-type"))
  if most_bytes == 0 then
    return nil, "missing"
  elseif type(length) ~= "string" or not length:find("^%d+$") then
    return nil, "no_length"
  elseif boundary == nil or rawget(headers, "content-encoding") ~= nil then
    return nil, "form"
  elseif tonumber(length) > most_bytes then
    return nil, "too_large"
  end
  ngx.req.read_body()
  local read, close = body_reader()
  local fields, why = parse(boundary, read)
  close()
  return fields or nil, why
end

return _M
