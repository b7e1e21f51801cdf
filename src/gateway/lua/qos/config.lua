-- Settings, read once from the environment, before the workers start.

local _M = {}

local function text(name, default)
  local value = os.getenv(name)
  if value == nil or value == "" then
    return default
  end
  return value
end

local function whole_number(name, default, least)
  local value = tonumber(text(name, default))
  if value == nil or value < least or value ~= math.floor(value) then
    error(name .. " must be a whole number of at least " .. least)
  end
  return value
end

local function one_of(name, default, choices)
  local value = text(name, default)
  for _, choice in ipairs(choices) do
    if value == choice then
      return value
    end
  end
  error(name .. " must be one of: " .. table.concat(choices, ", "))
end

local function switch(name, default)
  return one_of(name, default, { "on", "off" }) == "on"
end

-- A secret comes from a file, so that it shows in no list of processes; from the variable in tests.
local function secret(name)
  local path = os.getenv(name .. "_FILE")
  if path == nil or path == "" then
    return os.getenv(name)
  end
  local file = assert(io.open(path, "r"))
  local value = file:read("*a"):gsub("%s+$", "")
  file:close()
  return value
end

function _M.read()
  local timeout_ms = whole_number("QOS_DATABASE_TIMEOUT_MS", 1000, 1)
  -- The server gives up before the client does: what the client no longer waits for has ended.
  local statement_timeout_ms =
    whole_number("QOS_DATABASE_STATEMENT_TIMEOUT_MS", math.floor(timeout_ms * 0.8), 0)
  return {
    database = {
      host = text("QOS_DATABASE_HOST", "127.0.0.1"),
      port = whole_number("QOS_DATABASE_PORT", 5432, 1),
      database = text("QOS_DATABASE_NAME", "storage_qos"),
      user = text("QOS_DATABASE_USER", "gateway"),
      password = secret("QOS_DATABASE_PASSWORD"),
      tls = switch("QOS_DATABASE_TLS", "off"),
      tls_verify = switch("QOS_DATABASE_TLS_VERIFY", "on"),
      tls_name = text("QOS_DATABASE_TLS_NAME", text("QOS_DATABASE_HOST", "127.0.0.1")),
      pool_size = whole_number("QOS_DATABASE_POOL_SIZE", 4, 1),
      timeout_ms = timeout_ms,
      statement_timeout_ms = statement_timeout_ms,
    },
    key_header = text("QOS_KEY_HEADER", "X-API-Key"):lower(),
    rate_limit_fields = one_of("QOS_RATE_LIMIT_FIELDS", "always", { "always", "denied" }),
    speak_s3 = switch("QOS_SPEAK_S3", "off"),
    unknown_size = whole_number("QOS_UNKNOWN_SIZE_BYTES", 65536, 0),
    refund_5xx = switch("QOS_REFUND_5XX", "off"),
    refresh_s = whole_number("QOS_REFRESH_MS", 800, 1) / 1000,
    lease_ms = whole_number("QOS_LEASE_MS", 10000, 100),
    outage = {
      policy = one_of("QOS_OUTAGE_POLICY", "fair_share", { "closed", "open", "fair_share" }),
      max_s = whole_number("QOS_OUTAGE_MAX_MS", 300000, 0) / 1000,
    },
  }
end

return _M
