-- Whose request it is: the key that it is charged to, and, where an access key id says so that
-- nothing here has verified, what to watch for in the answer of the storage.

local claims = require("qos.identity.claims")
local form = require("qos.identity.form")
local identities = require("qos.identity.identities")
local metrics = require("qos.metrics")
local request = require("qos.requests.request")
local signature = require("qos.identity.signature")
local signature_failures = require("qos.identity.signature_failures")
local storage_verdict = require("qos.identity.storage_verdict")

local _M = {}

local settings, known

function _M.use(config)
  settings = config
  known = config.identities
end

local function argument_or_header(claim, headers, name)
  if claim.fields then
    return claim.fields[name]
  end
  return rawget(headers, name)
end

local function verify(claim, secret, method, headers)
  local is_signed, why = signature.verify(claim, secret, {
    method = method, uri = request.var("request_uri"), headers = headers,
  }, ngx.time())
  if is_signed then
    return claim.id
  end
  metrics.add(metrics.name("qos_signature_failures_total", 'by="gateway"'))
  return nil, why
end

-- The key of a claim that the storage has to verify, and what is watched. Ids of temporary credentials
-- can be made up: all that are charged to one key are watched as one.
local function watched(key, id)
  local pair = signature_failures.pair(key)
  local why, retry_after_s = signature_failures.refuses(pair)
  local is_proven = signature_failures.is_proven(pair)
  if why == nil and not is_proven and not signature_failures.start(pair) then
    why, retry_after_s = "unproven", 1
  end
  if why then
    metrics.add(metrics.name("qos_signature_refusals_total", 'reason="' .. why .. '"'))
    return nil, why, retry_after_s
  end
  return key, nil, {
    id = id, pair = pair, body = "", is_proven = is_proven, is_counted = not is_proven,
  }
end

local function of_claim(claim, method, headers)
  if not claims.has_one_token(claim, headers) then
    return nil, "ambiguous"
  elseif claims.is_secret(claim.id) then
    return claim.id
  elseif claim.is_incomplete then
    return nil, "malformed"
  end
  local secret = known.secrets[claim.id]
  if secret then
    if not signature.can_verify(claim) then
      return nil, "version"
    end
    return verify(claim, secret, method, headers)
  end
  local token = argument_or_header(claim, headers, "x-amz-security-token")
  local session_key = type(token) == "string" and identities.key_of_session(known, claim.id, token)
  return watched(session_key or claim.id, claim.id)
end

local function of_form(method, headers)
  local fields, why = form.read(headers, settings.signatures.largest_form)
  if fields == nil then
    return nil, why
  end
  local claim
  claim, why = claims.claim_of_form(fields)
  if claim == nil then
    return nil, why
  end
  return of_claim(claim, method, headers)
end

local function of_anonymous(method, headers)
  local host = rawget(headers, "host")
  local is_read = method == "GET" or method == "HEAD"
  local bucket = is_read and rawget(headers, "authorization") == nil
    and identities.bucket_of(known, request.var("request_uri"), type(host) == "string" and host or "")
  local key = bucket and known.anonymous[bucket]
  if key then
    return key
  end
  return nil, "missing"
end

-- An API key, where no S3 signature beside it names another identity, in whatever state.
local function key_alone(key, headers, arguments)
  if arguments == nil and rawget(headers, "authorization") == nil then
    return key
  end
  local _, why = claims.claim(headers, arguments)
  if why == "missing" then
    return key
  end
  return nil, "ambiguous"
end

-- The key that the request is charged to, and a third answer where the storage has to verify it: a
-- watch, which ends with leave() or finish(). Or nil, why not, and after how many seconds to try again.
--
-- `headers`: by names in lower case; `arguments`: nil where the request has no query.
function _M.identify(method, headers, arguments)
  local key, why = claims.key(headers, settings.key_header)
  if why then
    return nil, why
  elseif key then
    return key_alone(key, headers, arguments)
  end
  local claim
  claim, why = claims.claim(headers, arguments)
  local is_form = form.is_form(method, headers)
  if is_form and (claim or rawget(headers, "authorization") ~= nil) then
    -- Some stores look at the signature of a form alone.
    return nil, "ambiguous"
  elseif claim then
    return of_claim(claim, method, headers)
  elseif why ~= "missing" then
    return nil, why
  elseif is_form then
    return of_form(method, headers)
  elseif known.has_anonymous then
    return of_anonymous(method, headers)
  end
  return nil, why
end

-- The request does not go on, or has ended: it is no longer under way.
function _M.leave(watch)
  if watch.is_counted then
    watch.is_counted = false
    signature_failures.finish(watch.pair)
  end
end

-- The head of the answer: an error's length changes where its body is read here, which it is not.
function _M.hear_body(watch)
  if storage_verdict.is_refusal(ngx.status) and ngx.arg[1] ~= "" then
    watch.body = storage_verdict.collect(watch.body, ngx.arg[1])
  end
end

-- The status that the storage answered; nil where it did not answer: nginx's own 400 and 499 of a
-- sender that gave up say nothing of a signature.
local function storage_status()
  local statuses = request.var("upstream_status")
  return statuses and tonumber(statuses:sub(-3))
end

-- The answer is through, or none came: whether the charge is given back. A source that is not proven
-- is charged for nothing but what the storage found signed.
function _M.finish(watch)
  _M.leave(watch)
  local status = storage_status()
  local verdict = status and storage_verdict.of(ngx.req.get_method(), status, watch.body)
  if verdict == "signed" then
    signature_failures.succeed(watch.pair)
    return false
  elseif verdict == nil and (watch.is_proven or signature_failures.is_proven(watch.pair)) then
    return false
  end
  -- An error of the storage's own is not the sender's.
  if status == nil or status < 500 then
    signature_failures.fail(watch.pair, watch.id, tonumber(request.var("request_length")) or 0)
  end
  return true
end

return _M
