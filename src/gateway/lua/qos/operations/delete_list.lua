-- How many keys the body of a request to delete several names. Parsers of XML find keys where a look
-- at the bytes finds none, in another encoding or behind an entity: such bodies are refused.

local trim = require("qos.trim")

local _M = {}

-- As many as S3 takes.
_M.most_keys, _M.largest = 1000, 2 * 1024 * 1024

-- Nothing shorter than this names a key.
local shortest_key = #"<Object><Key></Key></Object>"

local function is_usual(encoding)
  encoding = encoding:lower()
  return encoding == "utf-8" or encoding == "us-ascii"
end

local characters_of_xml = "^[\\t\\n\\r\\x{20}-\\x{D7FF}\\x{E000}-\\x{10FFFF}]*+$"

local function is_utf8(text)
  if not text:find("[\128-\255%z\1-\8\11\12\14-\31]") then
    return true
  end
  -- PCRE answers an error for bytes that are none.
  return ngx.re.find(text, characters_of_xml, "jou") ~= nil
end

local function has_usual_charset(content_type)
  if content_type == nil then
    return true
  elseif type(content_type) ~= "string" then
    return false
  end
  local _, mentions = content_type:lower():gsub("charset", "")
  local charset = content_type:lower():match(';%s*charset="?([%w_%-]+)"?%s*$')
  return mentions == 0 or mentions == 1 and charset ~= nil and is_usual(charset)
end

local function has_usual_declaration(text)
  local declaration = text:match("^%s*<%?[xX][mM][lL]%s+([^>]*)%?>")
  if declaration == nil then
    return not text:find("^%s*<%?[xX][mM][lL]%s")
  end
  local rest = declaration:match("^version%s*=%s*[\"']1%.0[\"']%s*(.*)$")
  local encoding, behind = (rest or ""):match("^encoding%s*=%s*[\"']([%w_%-]+)[\"']%s*(.*)$")
  if encoding and not is_usual(encoding) then
    return false
  end
  rest = behind or rest
  return rest == "" or rest ~= nil and rest:find("^standalone%s*=%s*[\"']%a+[\"']%s*$") ~= nil
end

local function has_declarations(text)
  local upper = text:upper()
  return upper:find("<!DOCTYPE", 1, true) ~= nil or upper:find("<!ENTITY", 1, true) ~= nil
end

-- Elements by their local names, whatever their prefix is and whatever they stand in.
local function count_in(text)
  local keys, objects = 0, 0
  for name in text:gmatch("<([^%s<>/!%?]+)") do
    local lower = name:lower()
    if lower == "key" or lower:sub(-4) == ":key" then
      keys = keys + 1
    elseif lower == "object" or lower:sub(-7) == ":object" then
      objects = objects + 1
    end
  end
  return math.max(keys, objects)
end

-- As many as so many bytes have room for.
function _M.most_in(size)
  return math.max(math.min(_M.most_keys, math.ceil(size / shortest_key)), 1)
end

-- The number of keys, nil where this is not a list; or nil and true where it is refused.
function _M.count(text, content_type)
  text = text:gsub("^\239\187\191", "")
  local is_clear = is_utf8(text) and has_usual_charset(content_type)
    and has_usual_declaration(text) and not has_declarations(text)
  local count = is_clear and count_in(text)
  if not count or count > _M.most_keys then
    return nil, true
  end
  return count > 0 and count or nil
end

-- Whether a body of this encoding can be looked at: signed chunks cannot, and have no other one.
function _M.is_plain(content_encoding)
  return content_encoding == nil
    or type(content_encoding) == "string" and trim.both(content_encoding):lower() == "identity"
end

function _M.is_in_chunks(content_encoding)
  return type(content_encoding) == "string" and trim.both(content_encoding):lower() == "aws-chunked"
end

return _M
