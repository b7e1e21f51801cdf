-- What operators ask: whether the gateway lives, and its metrics.

local cjson = require("cjson.safe")
local metrics = require("qos.metrics")
local owed = require("qos.leases.owed")
local store = require("qos.database.store")

local _M = {}

-- Alive as long as it answers; whether the database does is reported, and does not call for a restart.
function _M.health()
  ngx.header["Content-Type"] = "application/json"
  local is_down = store.outage() ~= nil
  ngx.say(cjson.encode({ status = "ok", database = is_down and "down" or "up" }))
end

function _M.metrics()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  local applications, tokens, bytes = owed.totals()
  ngx.print(metrics.text({
    qos_database_up = store.outage() and 0 or 1,
    qos_owed_applications = applications,
    qos_owed_tokens = tokens / 1000000,
    qos_owed_bytes = bytes,
  }))
end

return _M
