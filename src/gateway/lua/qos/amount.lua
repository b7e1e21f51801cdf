-- Tokens are decimals with six digits. Here they are whole millionths in doubles, exact up to
-- 2^53; no lease holds more than that.

local _M = {}

_M.largest = 9007199254740991

-- Whole millionths of a decimal; more than a double counts is the largest amount.
function _M.millionths(text)
  local whole, fraction = text:match("^(%d+)%.?(%d*)$")
  if whole == nil then
    error("not an amount: " .. text)
  end
  if #whole > 10 then
    return _M.largest
  end
  local value = tonumber(whole) * 1000000 + tonumber((fraction .. "000000"):sub(1, 6))
  return math.min(value, _M.largest)
end

-- The whole part of a decimal: bytes have no fraction.
function _M.whole(text)
  local digits = text:match("^%d+")
  if #digits > 16 then
    return _M.largest
  end
  return math.min(tonumber(digits), _M.largest)
end

-- A decimal for SQL.
function _M.decimal(millionths)
  local whole = math.floor(millionths / 1000000)
  return string.format("%.0f.%06.0f", whole, millionths - whole * 1000000)
end

function _M.integer(value)
  return string.format("%.0f", value)
end

return _M
