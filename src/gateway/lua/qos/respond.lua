-- Answers to requests that do not go on to the storage: problem+json, or S3's XML.

local cjson = require("cjson.safe")
local rate_limit_fields = require("qos.rate_limit_fields")

local _M = {}

local settings

function _M.use(config)
  settings = config
end

local function send(status, content_type, body)
  ngx.status = status
  ngx.header["Content-Type"] = content_type
  ngx.header["Cache-Control"] = "no-store"
  ngx.header["Content-Length"] = #body
  if ngx.req.get_method() ~= "HEAD" then
    ngx.print(body)
  end
  return ngx.exit(status)
end

-- Every word of it is ours: nothing that the caller sent is repeated.
local function send_xml(status, code, message)
  local body = string.format(
    '<?xml version="1.0" encoding="UTF-8"?>\n'
      .. "<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>",
    code, message, ngx.var.request_id
  )
  return send(status, "application/xml", body)
end

local function send_problem(status, members)
  members.status = status
  return send(status, "application/problem+json", cjson.encode(members))
end

-- `code`: what S3 calls it.
local function refuse(status, code, title, detail)
  if settings.speak_s3 then
    return send_xml(status == 401 and 403 or status, code, title)
  end
  if status == 401 then
    ngx.header["WWW-Authenticate"] = 'ApiKey realm="storage"'
  end
  return send_problem(status, { type = "about:blank", title = title, detail = detail })
end

local keys = {
  missing = { 401, "AccessDenied", "no api key" },
  malformed = { 401, "InvalidAccessKeyId", "unknown api key" },
  ambiguous = { 400, "InvalidRequest", "more than one api key" },
}

function _M.no_key(why)
  return refuse(unpack(keys[why]))
end

local s3_codes = { QS401 = "InvalidAccessKeyId", QS403 = "AccessDenied", QS404 = "InvalidRequest" }

-- The database refused the key, the application or the operation.
function _M.refused(problem)
  local status = tonumber(problem.code:match("%d+$"))
  return refuse(status, s3_codes[problem.code] or "InvalidRequest", problem.message)
end

local function set_rate_limit(decision)
  if decision.entry and decision.entry.limits then
    ngx.header["RateLimit-Policy"] = rate_limit_fields.policy(decision.entry.limits)
  end
  ngx.header["RateLimit"] = rate_limit_fields.standing(decision)
end

function _M.set_fields(decision)
  if not decision.allowed or settings.rate_limit_fields == "always" then
    set_rate_limit(decision)
  end
  if decision.shadow then
    ngx.header["X-RateLimit-Shadow"] = decision.shadow
  end
end

local titles = {
  exceeds_capacity = "the request is larger than its quota can ever hold",
  store_unavailable = "the limiter cannot decide right now",
}

local function denied_problem(decision, status)
  return send_problem(status, {
    type = "about:blank",
    title = titles[decision.reason] or "too many requests",
    reason = decision.reason,
    layer = decision.layer or cjson.null,
    retry_after_ms = decision.retry_after_ms or cjson.null,
  })
end

-- Too large for ever is 413 in HTTP and EntityTooLarge in S3; waiting would not help.
function _M.denied(decision)
  _M.set_fields(decision)
  if decision.retry_after_ms then
    ngx.header["Retry-After"] = math.max(math.ceil(decision.retry_after_ms / 1000), 1)
  end
  local is_too_large = decision.reason == "exceeds_capacity"
  if settings.speak_s3 then
    if is_too_large then
      return send_xml(400, "EntityTooLarge", titles.exceeds_capacity)
    end
    return send_xml(503, "SlowDown", "Please reduce your request rate.")
  end
  if decision.reason == "store_unavailable" then
    return denied_problem(decision, 503)
  end
  return denied_problem(decision, is_too_large and 413 or 429)
end

return _M
