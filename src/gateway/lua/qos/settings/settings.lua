-- Settings, read once from the environment, before the workers start.

local clock = require("qos.clock")
local database_url = require("qos.database.database_url")
local declared_settings = require("qos.settings.declared_settings")
local identities = require("qos.identity.identities")
local trim = require("qos.trim")

local _M = {}

local function problem(name, text)
  error(name .. " " .. text, 0)
end

local readers = {}

function readers.text(_, value)
  return value
end
readers.secret = readers.text

readers["whole number"] = function(name, value, declared)
  local number = tonumber(value)
  if number == nil or number < declared.least or number ~= math.floor(number) then
    problem(name, "must be a whole number of at least " .. declared.least)
  end
  return number
end

function readers.choice(name, value, declared)
  for _, choice in ipairs(declared.choices) do
    if value == choice then
      return value
    end
  end
  problem(name, "must be one of: " .. table.concat(declared.choices, ", "))
end

readers["switch"] = function(name, value)
  if value ~= "on" and value ~= "off" then
    problem(name, "must be one of: on, off")
  end
  return value == "on"
end

-- An empty variable is not set.
local function setting(name)
  local declared = declared_settings[name]
  local value = os.getenv(name)
  if value == nil or value == "" then
    return declared.usual
  end
  return readers[declared.kind](name, value, declared)
end

-- A secret comes from a file, so that it shows in no list of processes; from the variable in tests.
local function secret(name)
  local path = os.getenv(name .. "_FILE")
  if path == nil or path == "" then
    return setting(name)
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
  return string.format("gateway/%s/%d/%.0f", host_name(), ngx.worker.pid(), clock.now() * 1000)
end

local function tls_of_variables()
  local is_on = setting("QOS_DATABASE_TLS")
  return {
    tls = is_on, is_required = is_on, verify = setting("QOS_DATABASE_TLS_VERIFY"),
    checks_name = true,
  }
end

-- Each with the name that its certificate must have.
local function hosts_of(given, tls)
  local hosts = given or {
    {
      host = setting("QOS_DATABASE_HOST"),
      port = setting("QOS_DATABASE_PORT"),
    },
  }
  local common_name = setting("QOS_DATABASE_TLS_NAME")
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
  local timeout_ms = setting("QOS_DATABASE_TIMEOUT_MS")
  -- The server gives up before the client does: what the client no longer waits for has ended.
  local statement_timeout_ms = target.is_pooled and 0 or math.floor(timeout_ms * 0.8)
  local tls = target.tls or tls_of_variables()
  return {
    hosts = hosts_of(target.hosts, tls),
    database = target.database or setting("QOS_DATABASE_NAME"),
    user = target.user or setting("QOS_DATABASE_USER"),
    password = target.password or secret("QOS_DATABASE_PASSWORD"),
    application_name = target.application_name or "storage-qos gateway",
    tls = tls.tls or false,
    tls_required = tls.is_required or false,
    tls_verify = tls.verify or false,
    pool_size = target.pool_size or setting("QOS_DATABASE_POOL_SIZE"),
    timeout_ms = timeout_ms,
    statement_timeout_ms = setting("QOS_DATABASE_STATEMENT_TIMEOUT_MS") or statement_timeout_ms,
  }
end

function _M.read()
  return {
    database = database_of(secret("QOS_DATABASE_URL")),
    holder = holder_name(),
    host = host_name(),
    pace_downloads = setting("QOS_PACE_DOWNLOADS"),
    key_header = setting("QOS_KEY_HEADER"):lower(),
    rate_limit_fields = setting("QOS_RATE_LIMIT_FIELDS"),
    speak_s3 = setting("QOS_SPEAK_S3"),
    unknown_size = setting("QOS_UNKNOWN_SIZE_BYTES"),
    unknown_copy = setting("QOS_UNKNOWN_COPY_BYTES"),
    refund_5xx = setting("QOS_REFUND_5XX"),
    refresh_s = setting("QOS_REFRESH_MS") / 1000,
    lease_ms = setting("QOS_LEASE_MS"),
    identities = identities.read(setting("QOS_IDENTITIES_FILE")),
    signatures = {
      most_failures = setting("QOS_SIGNATURE_FAILURES"),
      most_refused_bytes = setting("QOS_SIGNATURE_FAILURE_BYTES"),
      block_s = setting("QOS_SIGNATURE_BLOCK_MS") / 1000,
      most_unproven = setting("QOS_UNPROVEN_REQUESTS"),
      largest_form = setting("QOS_FORM_BYTES"),
    },
    metrics_applications = setting("QOS_METRICS_APPLICATIONS"),
    outage = {
      policy = setting("QOS_OUTAGE_POLICY"),
      max_s = setting("QOS_OUTAGE_MAX_MS") / 1000,
    },
  }
end

return _M
