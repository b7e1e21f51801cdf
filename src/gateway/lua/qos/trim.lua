-- Trims texts of callers, in time that grows with their length alone: a pattern that ends with "+$"
-- and may begin anywhere is tried from each place, so that its time grows with the square.

local _M = {}

-- Without what is at its end of a class of characters, such as "%s" or ",".
function _M.right(text, class)
  return text:match("^.*[^" .. class .. "]") or ""
end

-- Without space at either end.
function _M.both(text)
  local first = text:find("%S")
  return first and text:match("^.*%S", first) or ""
end

return _M
