-- What an operation costs: c_base + size * c_bw / unit_quantum tokens, rounded up to a millionth.
-- Doubles divide whole numbers exactly as long as the product stays below 2^53; a larger size is
-- split. What costs more than they count is `math.huge`: no lease holds it, and the database decides.

local amount = require("qos.amount")

local _M = {}

local exact_digits = 15

local function greatest_common_divisor(a, b)
  while b ~= 0 do
    a, b = b, a % b
  end
  return a
end

local function largest_exact_size(base, share, quantum)
  local product = amount.largest - quantum
  local sum = (amount.largest - base) * quantum
  return math.floor(math.min(product, sum) / share) - 1
end

-- `rule`: a row of cost_rules_in_force(), all of its numbers as text.
function _M.new(rule)
  local share = amount.millionths(rule.c_bw)
  local self = { base = amount.millionths(rule.c_base), is_active = rule.is_active }
  if share == 0 then
    self.share, self.quantum, self.exact_up_to = 0, 1, amount.largest
  elseif #rule.unit_quantum > exact_digits then
    self.quantum, self.exact_up_to = 1, -1
  else
    local quantum = tonumber(rule.unit_quantum)
    local divisor = greatest_common_divisor(share, quantum)
    self.share, self.quantum = share / divisor, quantum / divisor
    self.exact_up_to = largest_exact_size(self.base, self.share, self.quantum)
  end
  return self
end

-- Whole quanta and the rest of the size apart: neither product is much larger than the cost.
local function of_parts(cost, size)
  if size > amount.largest or cost.exact_up_to < cost.quantum then
    return math.huge
  end
  local whole = math.floor(size / cost.quantum)
  local tokens = whole * cost.share + _M.of(cost, size - whole * cost.quantum)
  return tokens <= amount.largest and tokens or math.huge
end

function _M.of(cost, size)
  if size > cost.exact_up_to then
    return of_parts(cost, size)
  end
  return cost.base + math.floor((size * cost.share + cost.quantum - 1) / cost.quantum)
end

-- `count` operations of that size together, such as a request that deletes several keys.
function _M.of_many(cost, size, count)
  return _M.of(cost, size) + ((count or 1) - 1) * cost.base
end

local function holds_at(row, us)
  return (row.from_us == nil or tonumber(row.from_us) <= us)
    and (row.to_us == nil or us < tonumber(row.to_us))
end

-- The cost of each operation at a moment, and the moment of the next change.
function _M.schedule(rows, us)
  local costs, changes_at = {}, math.huge
  for _, row in ipairs(rows) do
    for _, text in pairs({ row.from_us, row.to_us }) do
      local change = tonumber(text)
      if change > us and change < changes_at then
        changes_at = change
      end
    end
    -- A rule comes after the row without times, and stands in for it.
    if holds_at(row, us) then
      costs[row.operation] = _M.new(row)
    end
  end
  return costs, changes_at
end

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(_M.new, true)
jit.off(_M.schedule, true)

return _M
