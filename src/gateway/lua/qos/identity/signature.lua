-- Whether a request is signed with a secret (Signature Version 4 of S3): in its header, its query or
-- its form. A body is covered by the hash that its header says, which the storage verifies; of one in
-- chunks the first signature is verified here, those of the chunks by the storage.

local bit = require("bit")
local cjson = require("cjson.safe")
local hmac = require("qos.identity.hmac")
local lrucache = require("resty.lrucache")
local trim = require("qos.trim")

local _M = {}

local largest_skew_s = 15 * 60
local longest_life_s = 7 * 86400
-- No request of S3 has as many. More would be sorted at the cost of a worker's time: a sender can choose
-- them so that sorting takes steps by the square of their number.
local most_signed_headers, most_arguments = 100, 100

local encoded = {}
for byte = 0, 255 do
  local char = string.char(byte)
  encoded[char] = char:find("[%w%-%._~]") and char or string.format("%%%02X", byte)
end

local function decode(text)
  return (text:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local function encode(text)
  return (text:gsub(".", encoded))
end

-- `uri`: as it stands in the request line.
local function canonical_path(uri)
  local path = uri:gsub("^%a+://[^/?]*", ""):match("^[^?]*")
  path = decode(path == "" and "/" or path)
  return (path:gsub("[^/]", encoded))
end

-- Nil where there are too many arguments.
local function canonical_query(uri)
  local pairs_of, query = {}, uri:match("^[^?]*%?(.*)$")
  for part in (query or ""):gmatch("[^&]+") do
    local name, value = part:match("^([^=]*)=?(.*)$")
    name, value = decode((name:gsub("%+", " "))), decode((value:gsub("%+", " ")))
    if #pairs_of == most_arguments then
      return nil
    elseif name:lower() ~= "x-amz-signature" then
      pairs_of[#pairs_of + 1] = { encode(name), encode(value) }
    end
  end
  table.sort(pairs_of, function(one, other)
    if one[1] ~= other[1] then
      return one[1] < other[1]
    end
    return one[2] < other[2]
  end)
  for place, pair in ipairs(pairs_of) do
    pairs_of[place] = pair[1] .. "=" .. pair[2]
  end
  return table.concat(pairs_of, "&")
end

local function trimmed(value)
  return (trim.both(tostring(value)):gsub("%s+", " "))
end

-- Nil where a name is there twice, as signers never write it: what is hashed is what was sent, once.
local function canonical_headers(headers, names)
  local lines, seen = {}, {}
  for name in names:gmatch("[^;]+") do
    local value = rawget(headers, name)
    if value == nil or seen[name] or #lines == most_signed_headers then
      return nil
    end
    seen[name] = true
    local values = type(value) == "table" and value or { value }
    local texts = {}
    for place, one in ipairs(values) do
      texts[place] = trimmed(one)
    end
    lines[#lines + 1] = name .. ":" .. table.concat(texts, ",") .. "\n"
  end
  return seen.host and table.concat(lines) or nil
end

-- Seconds since 1970 of "20260101T000000Z".
local function seconds_of(stamp)
  local year, month, day, hour, minute, second =
    stamp:match("^(%d%d%d%d)(%d%d)(%d%d)T(%d%d)(%d%d)(%d%d)Z$")
  if year == nil then
    return nil
  end
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  -- Days of the proleptic calendar, with years that begin in March.
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  local days = 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
  return ((days * 24 + tonumber(hour)) * 60 + tonumber(minute)) * 60 + tonumber(second)
end
_M.seconds_of = seconds_of

-- Compares in a time that says nothing of where they differ.
local function is_equal(one, other)
  if #one ~= #other then
    return false
  end
  local difference = 0
  for place = 1, #one do
    difference = bit.bor(difference, bit.bxor(one:byte(place), other:byte(place)))
  end
  return difference == 0
end

local signing_keys = lrucache.new(1000)

local function signing_key(secret, scope)
  local cached = signing_keys:get(scope)
  if cached and cached[secret] then
    return cached[secret]
  end
  local key = "AWS4" .. secret
  for part in scope:gmatch("[^/]+") do
    key = hmac.hmac_sha256(key, part)
  end
  cached = cached or {}
  cached[secret] = key
  signing_keys:set(scope, cached)
  return key
end

local function sign(secret, scope, text)
  return hmac.hex(hmac.hmac_sha256(signing_key(secret, scope), text))
end

-- When it was signed, or nil and what is wrong: `life_s` seconds are left from then on.
local function check_time(stamp, scope, now, life_s)
  local at = type(stamp) == "string" and seconds_of(stamp)
  if not at or stamp:sub(1, 8) ~= scope:match("^%d+") then
    return nil, "bad_signature"
  elseif at > now + largest_skew_s then
    return nil, "skewed"
  elseif life_s and at + life_s < now then
    return nil, "expired"
  elseif not life_s and at < now - largest_skew_s then
    return nil, "skewed"
  end
  return at
end

local function payload_of(claim, headers)
  local said = rawget(headers, "x-amz-content-sha256")
  if said == nil and claim.fields then
    said = claim.fields["x-amz-content-sha256"]
  end
  return type(said) == "string" and said or "UNSIGNED-PAYLOAD"
end

local function stamp_of(claim, headers)
  if claim.mechanism == "query" then
    return claim.fields["x-amz-date"]
  end
  local stamp = rawget(headers, "x-amz-date")
  if stamp == nil and type(rawget(headers, "date")) == "string" then
    local at = ngx.parse_http_time(headers.date)
    return at and os.date("!%Y%m%dT%H%M%SZ", at)
  end
  return stamp
end

local function life_of(claim)
  if claim.mechanism ~= "query" then
    return nil
  end
  local life_s = tonumber(claim.fields["x-amz-expires"])
  return life_s and life_s >= 1 and life_s <= longest_life_s and life_s or -math.huge
end

local function verify_request(claim, secret, request, now)
  local headers, stamp = request.headers, stamp_of(claim, request.headers)
  local at, why = check_time(stamp, claim.scope, now, life_of(claim))
  if at == nil then
    return false, why
  end
  local header_lines = canonical_headers(headers, claim.signed_headers)
  local query = canonical_query(request.uri)
  if header_lines == nil or query == nil then
    return false, "bad_signature"
  end
  local canonical = table.concat({
    request.method, canonical_path(request.uri), query, header_lines,
    claim.signed_headers, payload_of(claim, headers),
  }, "\n")
  local text = table.concat({
    "AWS4-HMAC-SHA256", stamp, claim.scope, hmac.hex(hmac.sha256(canonical)),
  }, "\n")
  if not is_equal(sign(secret, claim.scope, text), claim.signature) then
    return false, "bad_signature"
  end
  return true
end

-- A form signs its policy, which says until when.
local function verify_form(claim, secret, now)
  local policy = claim.fields.policy
  if type(policy) ~= "string" or not is_equal(sign(secret, claim.scope, policy), claim.signature) then
    return false, "bad_signature"
  end
  local rules = cjson.decode(ngx.decode_base64(policy) or "")
  local expiration = type(rules) == "table" and rules.expiration
  local stamp = type(expiration) == "string"
    and expiration:gsub("^([^%.]*)%.%d+Z$", "%1Z"):gsub("[-:]", "")
  local ends_at = stamp and seconds_of(stamp)
  if not ends_at then
    return false, "bad_signature"
  elseif ends_at < now then
    return false, "expired"
  end
  return true
end

-- Whether this signature can be verified here.
function _M.can_verify(claim)
  return claim.mechanism == "header" or claim.mechanism == "query" or claim.mechanism == "form"
end

-- Whether a claim is signed with `secret`; or false and "bad_signature", "skewed" or "expired".
--
-- `request`: its method, its uri as it stands in the request line, and its headers by names in lower
-- case. `now`: seconds since 1970.
function _M.verify(claim, secret, request, now)
  local is_whole = type(claim.scope) == "string" and type(claim.signature) == "string"
  if not is_whole then
    return false, "bad_signature"
  elseif claim.mechanism == "form" then
    return verify_form(claim, secret, now)
  elseif type(claim.signed_headers) ~= "string" then
    return false, "bad_signature"
  end
  return verify_request(claim, secret, request, now)
end

return _M
