-- Parses the connection URLs of a list: answers what each of them says, or the error.

local cjson = require("cjson")
local database_url = require("qos.database.database_url")

local answers = {}
for place, url in ipairs(cjson.decode(io.read("*a"))) do
  local worked, target = pcall(database_url.parse, url)
  answers[place] = worked and target or { error = target }
end
io.write(cjson.encode(answers))
