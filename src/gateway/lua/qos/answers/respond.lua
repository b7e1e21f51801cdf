-- Answers to requests that do not go on to the storage: problem+json, or S3's XML.

local cjson = require("cjson.safe")
local claims = require("qos.identity.claims")
local rate_limit_fields = require("qos.answers.rate_limit_fields")

local _M = {}

local settings

function _M.use(config)
  settings = config
end

-- Answers are S3's where the setting says so, or the request is S3's.
local function speaks_s3()
  if settings.speak_s3 ~= "auto" then
    return settings.speak_s3 == "on"
  end
  return claims.is_s3(ngx.req.get_headers(0), ngx.var.args and ngx.req.get_uri_args(0) or nil)
end

local function send(status, content_type, body)
  ngx.status = status
  ngx.header["Content-Type"] = content_type
  ngx.header["Cache-Control"] = "no-store"
  ngx.header["Content-Length"] = #body
  if ngx.req.get_method() ~= "HEAD" then
    ngx.print(body)
  else
    -- Or nginx would look for a page of its own for this status.
    ngx.send_headers()
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
  if speaks_s3() then
    return send_xml(status == 401 and 403 or status, code, title)
  end
  if status == 401 then
    ngx.header["WWW-Authenticate"] = 'ApiKey realm="storage"'
  end
  return send_problem(status, { type = "about:blank", title = title, detail = detail })
end

local keys = {
  authorization = { 400, "AuthorizationHeaderMalformed", "the authorization header is malformed" },
  form = { 400, "MalformedPOSTRequest", "the form is malformed" },
  protocol = { 400, "InvalidRequest", "a version of HTTP that is too old" },
  target = { 400, "InvalidURI", "the address can be read in two ways" },
  algorithm = { 400, "InvalidRequest", "unknown algorithm of a signature" },
  missing = { 401, "AccessDenied", "no api key" },
  malformed = { 401, "InvalidAccessKeyId", "unknown api key" },
  ambiguous = { 400, "InvalidRequest", "more than one api key" },
  bad_signature = { 403, "SignatureDoesNotMatch", "the signature does not match" },
  blocked = {
    403, "AccessDenied", "too many requests from this address were not signed with this access key",
  },
  expired = { 403, "AccessDenied", "the signature has expired" },
  no_length = { 411, "MissingContentLength", "a form needs a length" },
  skewed = { 403, "RequestTimeTooSkewed", "the clock of the signature differs too much" },
  too_large = { 413, "EntityTooLarge", "the form is too large" },
  version = { 400, "InvalidRequest", "this access key takes Signature Version 4 alone" },
  unproven = { 503, "SlowDown", "too many requests at once whose signature was never verified" },
}

function _M.no_key(why, retry_after_s)
  if retry_after_s then
    ngx.header["Retry-After"] = math.max(math.ceil(retry_after_s), 1)
  end
  return refuse(unpack(keys[why]))
end

-- What nginx refuses or cannot do by itself. S3 has no other code for a storage that is away.
local of_nginx = {
  [400] = { "InvalidRequest", "the request is malformed" },
  [405] = { "MethodNotAllowed", "the method is not allowed" },
  [413] = { "EntityTooLarge", "the body is too large" },
  [414] = { "InvalidURI", "the address is too long" },
  [500] = { "InternalError", "an error of the gateway" },
  [501] = { "NotImplemented", "the gateway does not know this transfer encoding" },
  [502] = { "ServiceUnavailable", "the storage does not answer" },
  [503] = { "ServiceUnavailable", "the service is unavailable" },
  [504] = { "ServiceUnavailable", "the storage does not answer in time" },
  [505] = { "NotImplemented", "the version of HTTP is not known" },
}

-- Whether it was refused before its headers were read: nothing says then what its sender speaks.
local function is_unread()
  return next(ngx.req.get_headers(0)) == nil
end

-- The answer to a request that nginx ends by itself.
function _M.unserved()
  ngx.req.discard_body()
  local status = ngx.status
  local code, title = unpack(of_nginx[status] or of_nginx[500])
  local has_large_head = ngx.var.args == "header" and status == 400
  if has_large_head then
    code, title = "RequestHeaderSectionTooLarge", "the headers are too large"
  end
  local is_unknown = has_large_head or is_unread()
  if speaks_s3() or is_unknown and settings.speak_s3 ~= "off" then
    return send_xml(status, code, title)
  end
  return send_problem(status, { type = "about:blank", title = title })
end

local s3_codes = { QS401 = "InvalidAccessKeyId", QS403 = "AccessDenied", QS404 = "InvalidRequest" }

-- What may be said of a request, its key or its operation. Any other error is one between this gateway
-- and the database, of which a caller can do nothing but try again.
local statuses_of = { QS400 = 400, QS401 = 401, QS403 = 403, QS404 = 404, QS411 = 411 }

-- The database refused the key, the application or the operation.
function _M.refused(problem)
  local status = statuses_of[problem.code]
  if status == nil then
    ngx.log(ngx.WARN, "qos: ", problem.code, " ", problem.message or "")
    return _M.denied({ reason = "store_unavailable", layer = 3, retry_after_ms = 1000 })
  end
  local code = problem.s3_code or s3_codes[problem.code] or "InvalidRequest"
  return refuse(status, code, problem.message)
end

local function set_rate_limit(decision)
  if decision.entry and decision.entry.limits then
    ngx.header["RateLimit-Policy"] = rate_limit_fields.policy(decision.entry.limits)
  end
  ngx.header["RateLimit"] = rate_limit_fields.standing(decision)
end

local unproven_retry_ms = 1000

local function is_unproven(decision)
  return decision.watch and not decision.watch.is_proven
end

-- An access key id is not a secret: a sender that was never found signed learns nothing of the quota.
function _M.set_fields(decision)
  if is_unproven(decision) then
    return
  end
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
  no_quota = "the application has no quota",
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

local statuses = { store_unavailable = 503, exceeds_capacity = 413, no_quota = 403 }
local s3_denials = {
  exceeds_capacity = { 400, "EntityTooLarge" },
  no_quota = { 403, "AccessDenied" },
}

-- A sender that was never found signed learns neither what buckets hold nor which of them is short, and
-- always the same of when to come again.
local function without_standing(decision)
  if not is_unproven(decision) then
    return decision
  elseif s3_denials[decision.reason] then
    return { reason = decision.reason }
  end
  return { retry_after_ms = unproven_retry_ms }
end

-- Too large for ever is 413 in HTTP and EntityTooLarge in S3, and no quota is forbidden: waiting
-- would not help.
function _M.denied(decision)
  _M.set_fields(decision)
  decision = without_standing(decision)
  if decision.retry_after_ms then
    ngx.header["Retry-After"] = math.max(math.ceil(decision.retry_after_ms / 1000), 1)
  end
  if speaks_s3() then
    local denial = s3_denials[decision.reason]
    if denial then
      return send_xml(denial[1], denial[2], titles[decision.reason])
    end
    return send_xml(503, "SlowDown", "Please reduce your request rate.")
  end
  return denied_problem(decision, statuses[decision.reason] or 429)
end

return _M
