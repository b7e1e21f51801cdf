-- Settings, read once from the environment, before the workers start.

local database_url = require("qos.database_url")
local identities = require("qos.identities")
local trim = require("qos.trim")

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
  local value = trim.right(file:read("*a"), "%s")
  file:close()
  return value
end

local function host_name()
  local file = io.open("/proc/sys/kernel/hostname", "r")
  local name = file and file:read("*l")
  if file then
    file:close()
  end
  return name or os.getenv("HOSTNAME") or "nginx"
end

-- Unique for this host, this process and this start of it.
local function holder_name()
  return string.format("gateway/%s/%d/%.0f", host_name(), ngx.worker.pid(), ngx.now() * 1000)
end

local function tls_of_variables()
  local is_on = switch("QOS_DATABASE_TLS", "off")
  return {
    tls = is_on, is_required = is_on, verify = switch("QOS_DATABASE_TLS_VERIFY", "on"),
    checks_name = true,
  }
end

-- Each with the name that its certificate must have.
local function hosts_of(given, tls)
  local hosts = given or {
    {
      host = text("QOS_DATABASE_HOST", "127.0.0.1"),
      port = whole_number("QOS_DATABASE_PORT", 5432, 1),
    },
  }
  local common_name = text("QOS_DATABASE_TLS_NAME", nil)
  for _, host in ipairs(hosts) do
    host.tls_name = tls.checks_name and (common_name or host.name or host.host) or nil
  end
  return hosts
end

-- The URL says where the database is; what it leaves out, the variables say.
local function database_of(url)
  local target = url and database_url.parse(url) or {}
  for _, name in ipairs(target.ignored or {}) do
    ngx.log(ngx.WARN, "qos: ignored in QOS_DATABASE_URL: ", name)
  end
  local timeout_ms = whole_number("QOS_DATABASE_TIMEOUT_MS", 1000, 1)
  -- The server gives up before the client does: what the client no longer waits for has ended.
  local statement_timeout_ms = target.is_pooled and 0 or math.floor(timeout_ms * 0.8)
  local tls = target.tls or tls_of_variables()
  return {
    hosts = hosts_of(target.hosts, tls),
    database = target.database or text("QOS_DATABASE_NAME", "storage_qos"),
    user = target.user or text("QOS_DATABASE_USER", "gateway"),
    password = target.password or secret("QOS_DATABASE_PASSWORD"),
    application_name = target.application_name or "storage-qos gateway",
    tls = tls.tls or false,
    tls_required = tls.is_required or false,
    tls_verify = tls.verify or false,
    pool_size = target.pool_size or whole_number("QOS_DATABASE_POOL_SIZE", 4, 1),
    timeout_ms = timeout_ms,
    statement_timeout_ms =
      whole_number("QOS_DATABASE_STATEMENT_TIMEOUT_MS", statement_timeout_ms, 0),
  }
end

function _M.read()
  return {
    database = database_of(secret("QOS_DATABASE_URL")),
    holder = holder_name(),
    pace_downloads = switch("QOS_PACE_DOWNLOADS", "on"),
    key_header = text("QOS_KEY_HEADER", "X-API-Key"):lower(),
    rate_limit_fields = one_of("QOS_RATE_LIMIT_FIELDS", "always", { "always", "denied" }),
    speak_s3 = one_of("QOS_SPEAK_S3", "auto", { "auto", "on", "off" }),
    unknown_size = whole_number("QOS_UNKNOWN_SIZE_BYTES", 65536, 0),
    unknown_copy = whole_number("QOS_UNKNOWN_COPY_BYTES", 1048576, 0),
    refund_5xx = switch("QOS_REFUND_5XX", "off"),
    refresh_s = whole_number("QOS_REFRESH_MS", 800, 1) / 1000,
    lease_ms = whole_number("QOS_LEASE_MS", 10000, 100),
    identities = identities.read(os.getenv("QOS_IDENTITIES_FILE")),
    signatures = {
      most_failures = whole_number("QOS_SIGNATURE_FAILURES", 10, 1),
      most_refused_bytes = whole_number("QOS_SIGNATURE_FAILURE_BYTES", 16777216, 1),
      block_s = whole_number("QOS_SIGNATURE_BLOCK_MS", 10000, 1) / 1000,
      most_unproven = whole_number("QOS_UNPROVEN_REQUESTS", 64, 1),
      largest_form = whole_number("QOS_FORM_BYTES", 0, 0),
    },
    metrics_applications = whole_number("QOS_METRICS_APPLICATIONS", 0, 0),
    outage = {
      policy = one_of("QOS_OUTAGE_POLICY", "fair_share", { "closed", "open", "fair_share" }),
      max_s = whole_number("QOS_OUTAGE_MAX_MS", 300000, 0) / 1000,
    },
  }
end

return _M
