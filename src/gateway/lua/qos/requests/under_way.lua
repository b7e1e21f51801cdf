-- What is let through and not settled yet, by the address of its request: ngx.ctx would hold it too, and
-- costs as much as two response headers.

local caller = require("qos.identity.caller")

local _M = {}

local decisions = {}

function _M.set(address, decision)
  decisions[address] = decision
end

function _M.of(address)
  return decisions[address]
end

-- It is settled by who calls this.
function _M.take(address)
  local decision = decisions[address]
  decisions[address] = nil
  return decision
end

-- An address is used again, and not every request has a log phase of ours.
function _M.forget_last(address)
  local left_over = decisions[address]
  if left_over then
    decisions[address] = nil
    if left_over.watch then
      caller.leave(left_over.watch)
    end
  end
end

return _M
