-- Bodies whose length no header gives: nginx reads them whole, up to client_max_body_size of their
-- location, and they are charged by their real length before they are forwarded.

local delete_list = require("qos.operations.delete_list")

local _M = {}

-- HTTP/1.1 announces a body by one of two headers, HTTP/2 and HTTP/3 need neither.
function _M.is_unannounced(content_length, transfer_encoding, protocol)
  return transfer_encoding ~= nil or content_length == nil and protocol >= "HTTP/2"
end

local function file_size(path)
  local file = assert(io.open(path, "rb"))
  local size = file:seek("end")
  file:close()
  return size
end

local function file_text(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

-- Reads the body. Answers its length; nil where this nginx reads no body without a length.
-- A body larger than client_max_body_size ends the request with 413.
function _M.read()
  if not pcall(ngx.req.read_body) then
    return nil
  end
  local path = ngx.req.get_body_file()
  if path then
    return file_size(path)
  end
  return #(ngx.req.get_body_data() or "")
end

-- How many keys a request to delete several names. Where its text cannot be read, as many as its
-- length has room for; nil where it can be read in two ways.
function _M.count_keys(size, headers)
  local encoding = rawget(headers, "content-encoding")
  if size > delete_list.largest then
    return nil
  elseif delete_list.is_in_chunks(encoding) then
    return delete_list.most_in(size)
  elseif not delete_list.is_plain(encoding) then
    return nil
  elseif not _M.read() then
    return delete_list.most_in(size)
  end
  local path = ngx.req.get_body_file()
  local count, is_refused = delete_list.count(
    path and file_text(path) or ngx.req.get_body_data() or "", rawget(headers, "content-type")
  )
  return not is_refused and (count or delete_list.most_in(size)) or nil
end

return _M
