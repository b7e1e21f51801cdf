-- Tokens out of an application's own future, where it may borrow by itself (`auto_borrow`).

local amount = require("qos.amount")
local keys = require("qos.keys").qos_state
local metrics = require("qos.metrics")
local store = require("qos.database.store")

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

-- One borrowing for several operations, while there is credit for so many.
local operations = 10
-- Who may not borrow is asked again after so long. All others borrow once a second: what was
-- borrowed and spent does not count against the limit, so nothing else bounds it before it is due.
local pause_forbidden, pause = 10, 1

local function ask(app_id, tokens)
  local row, problem = store.call("borrow", app_id, amount.decimal(tokens))
  return row ~= nil, problem and problem.code
end

-- `tokens`: millionths that one operation needs. Answers whether there are more now.
function _M.borrow(app_id, tokens)
  local state, key = ngx.shared.qos_state, keys.no_credit(app_id)
  if tokens > amount.largest / operations or store.is_paused() then
    return false
  elseif not state:add(key, true, pause) then
    -- Another request asks, or was told.
    return false
  end
  local borrowed, code = ask(app_id, tokens * operations)
  if code == "QS409" then
    borrowed, code = ask(app_id, tokens)
  end
  if borrowed then
    metrics.add("qos_borrowings_total")
  end
  state:set(key, true, code == "QS403" and pause_forbidden or pause)
  return borrowed
end

return _M
