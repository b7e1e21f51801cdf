-- Whether the line of a request means the same to nginx and to whatever storage it goes on to.

local _M = {}

-- nginx ends the target at a "#", stores do not; some take a backslash for a slash.
local unclear_bytes = "[%z\1-\32\127#\\]"

-- Nearly all targets: nothing encoded, and no segment that is empty or begins with a dot. LuaJIT
-- compiles no patterns.
local plain_target = [[^/(?:[^\x00-\x20\x7f#\\%;./?][^\x00-\x20\x7f#\\%;/?]*+/)*+]]
  .. [[(?:[^\x00-\x20\x7f#\\%;./?][^\x00-\x20\x7f#\\%;/?]*+)?+(?:\?[^\x00-\x20\x7f#\\%;]*+)?+$]]

-- Stores differ in whether they resolve such segments, before or after they decode them.
local function has_dot_segments(path)
  path = path:gsub("%%2[eE]", "."):gsub("%%2[fF]", "/") .. "/"
  return path:find("/./", 1, true) ~= nil or path:find("/../", 1, true) ~= nil
end

-- Slashes that nginx makes one: a bucket to some, an object to others.
local function may_be_bucket(path)
  if not path:find("//", 1, true) then
    return false
  end
  return path:gsub("//+", "/"):find("^/[^/]*/?$") ~= nil
end

-- Some stores end an argument at a semicolon. Signers name headers with it.
local function has_separator(query)
  if not query:find(";", 1, true) then
    return false
  end
  return ("&" .. query):gsub("&X%-Amz%-SignedHeaders=[^&]*", ""):find(";", 1, true) ~= nil
end

-- A NUL byte ends a text for some; others leave an invalid encoding as it is.
local function has_bad_encoding(target)
  return target:find("%", 1, true) ~= nil
    and (target:find("%%00") ~= nil or target:gsub("%%%x%x", ""):find("%", 1, true) ~= nil)
end

-- `target`: as it stands in the request line.
function _M.is_clear(target)
  if ngx.re.find(target, plain_target, "jo") then
    return true
  elseif target:sub(1, 1) ~= "/" or target:find(unclear_bytes) or has_bad_encoding(target) then
    return false
  end
  local path, query = target:match("^([^?]*)%??(.*)$")
  return not has_dot_segments(path) and not may_be_bucket(path) and not has_separator(query)
end

return _M
