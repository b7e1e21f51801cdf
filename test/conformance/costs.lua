-- Costs by the gateway's arithmetic: reads a list of [c_base, c_bw, unit_quantum, size], answers
-- millionths, or "too large" where the database decides.

local cjson = require("cjson")
local cost = require("qos.operations.cost")

local answers = {}
for index, asked in ipairs(cjson.decode(io.read("*a"))) do
  local price = cost.new({
    c_base = asked[1], c_bw = asked[2], unit_quantum = asked[3], is_active = true,
  })
  local millionths = cost.of(price, tonumber(asked[4]))
  answers[index] = millionths == math.huge and "too large" or string.format("%.0f", millionths)
end
io.write(cjson.encode(answers))
