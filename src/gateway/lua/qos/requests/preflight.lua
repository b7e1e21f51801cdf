-- What browsers ask before the request itself, without a key and without a body.

local request = require("qos.requests.request")
local request_body = require("qos.operations.request_body")

local _M = {}

local function has_no_body(protocol)
  local length = request.var("content_length")
  if request_body.is_unannounced(length, request.var("http_transfer_encoding"), protocol) then
    return request.var("http_transfer_encoding") == nil and request_body.read() == 0
  end
  return length == nil or length == "0"
end

function _M.is_one(method, protocol)
  return method == "OPTIONS" and request.var("http_origin") ~= nil
    and request.var("http_access_control_request_method") ~= nil and has_no_body(protocol)
end

return _M
