-- Bodies whose length no header gives: nginx reads them whole, up to client_max_body_size of their
-- location, and they are charged by their real length before they are forwarded.

local _M = {}

-- S3 takes 1000 keys in one request to delete; nothing shorter than this names one.
local largest_list, most_keys = 2 * 1024 * 1024, 1000
local shortest_key = #"<Object><Key></Key></Object>"

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

local function count_in(text)
  local _, count = text:gsub("<[%w_:%-]*Key[%s>]", "")
  return count
end

-- How many keys a request to delete several names. Where its text cannot be read, as many as its
-- length has room for.
function _M.count_keys(size, is_encoded)
  local most = math.max(math.min(most_keys, math.ceil(size / shortest_key)), 1)
  if is_encoded or size > largest_list or not _M.read() then
    return most
  end
  local path = ngx.req.get_body_file()
  local count = count_in(path and file_text(path) or ngx.req.get_body_data() or "")
  return count > 0 and math.min(count, most_keys) or most
end

return _M
