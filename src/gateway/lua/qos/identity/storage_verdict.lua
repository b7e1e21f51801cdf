-- What an answer of the storage says of the request's signature.

local _M = {}

local longest_body = 4096

-- Codes of S3 for requests whose signature is missing, wrong or over. Replay has the same (charge-of.ts).
local unsigned_codes = {
  AuthorizationHeaderMalformed = true, AuthorizationQueryParametersError = true,
  CredentialsNotSupported = true, ExpiredToken = true, IncompleteSignature = true,
  InvalidAccessKeyId = true, InvalidClientTokenId = true, InvalidSecurity = true,
  InvalidToken = true, MissingAuthenticationToken = true, MissingSecurityElement = true,
  MissingSecurityHeader = true, RequestExpired = true, RequestTimeTooSkewed = true,
  SignatureDoesNotMatch = true, TokenRefreshRequired = true, Unauthorized = true,
}

_M.unsigned_codes = unsigned_codes

-- Words of AccessDenied where it is not about what a signed request may do.
local unsigned_words = { "expired", "signature", "signed", "anonymous", "authenticat" }

-- Codes of S3 that stores give once they have verified the signature. Others, such as NoSuchBucket,
-- InvalidRequest and redirections to another region, they may give before.
local verified_codes = {
  BucketAlreadyOwnedByYou = true, BucketNotEmpty = true, EntityTooSmall = true, InvalidPart = true,
  InvalidPartOrder = true, InvalidRange = true, NoSuchKey = true, NoSuchTagSet = true,
  NoSuchUpload = true, NoSuchVersion = true, PreconditionFailed = true,
}

-- Methods that stores serve to signed requests alone, or after they verified the signature that is
-- there. OPTIONS is answered without one.
local signed_methods = { DELETE = true, GET = true, HEAD = true, POST = true, PUT = true }

-- Whether the body of such an answer has to be looked at.
function _M.is_refusal(status)
  return status >= 400 and status < 500
end

-- Adds a piece of the body to what is known of it.
function _M.collect(body, piece)
  if #body >= longest_body then
    return body
  end
  return body .. piece:sub(1, longest_body - #body)
end

local function is_denied_unsigned(message)
  message = message:lower()
  for _, word in ipairs(unsigned_words) do
    if message:find(word, 1, true) then
      return true
    end
  end
  return false
end

local function shows_signed(status, code)
  return status >= 200 and status < 300 or status == 304 or status == 412 or status == 416
    or verified_codes[code] ~= nil
end

-- "signed" where the answer shows that the storage verified the signature, "unsigned" where it shows
-- that there is none or a wrong one, nil where it does not tell. `status`: of the storage's answer.
function _M.of(method, status, body)
  local code = body:match("<Code>%s*(%w+)%s*</Code>") or body:match('"[cC]ode"%s*:%s*"(%w+)"')
  if status == 401 then
    return "unsigned"
  elseif status == 400 or status == 403 then
    if unsigned_codes[code]
      or code == "AccessDenied" and is_denied_unsigned(body:match("<Message>(.-)</Message>") or "")
    then
      return "unsigned"
    end
  end
  return signed_methods[method] and shows_signed(status, code) and "signed" or nil
end

return _M
