-- What the gateway's own module says of an answer: reads a list of { method, status, code or null },
-- answers the codes of unsigned requests, and whether each is one.

local cjson = require("cjson")
local storage_verdict = require("qos.identity.storage_verdict")

local codes = {}
for code in pairs(storage_verdict.unsigned_codes) do
  codes[#codes + 1] = code
end

local is_unsigned = {}
for place, answer in ipairs(cjson.decode(io.read("*a"))) do
  local method, status, code = unpack(answer)
  local body = code ~= cjson.null and "<Error><Code>" .. code .. "</Code></Error>" or ""
  is_unsigned[place] = storage_verdict.of(method, status, body) == "unsigned"
end
io.write(cjson.encode({ codes = codes, is_unsigned = is_unsigned }))
