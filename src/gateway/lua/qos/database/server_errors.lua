-- What an error of a call says of the server, and of the connection, that it came from.

local _M = {}

-- A few times a second: what LuaJIT compiles is for requests.
jit.off(true, true)

local function says(problem, words)
  return (problem.message or ""):find(words, 1, true) ~= nil
end

-- Whether the server goes, or takes no writes.
local function is_leaving(problem)
  local code = problem.code or ""
  return code:find("^08") ~= nil or code:find("^57P0[123]$") ~= nil or code == "25006"
    or code == "0A000" and says(problem, "recovery")
end

-- Whether this server cannot charge: no connection to it or no answer, shutdown, no resources, a
-- standby. A pool of our own that is exhausted says nothing about it.
function _M.cannot_charge(problem)
  if problem.is_unconnected or problem.code == nil then
    return not problem.is_crowded
  end
  return problem.code:find("^53") ~= nil or is_leaving(problem)
end

-- Whether another connection may do what this one does not: it leads to a server that goes, or has
-- plans of before a migration.
function _M.is_outdated(problem)
  return is_leaving(problem) or problem.code == "42703"
    or problem.code == "0A000" and says(problem, "cached plan")
end

return _M
