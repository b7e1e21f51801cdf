-- Which operation a request is; the first rule that fits counts. To have your own, put a file of
-- this name ahead of it in lua_package_path.
--
-- method: HTTP method, nil for any. query: an argument that must be there. path: a regular
-- expression, or a function of the path, which costs a request less.
-- operation: its name, or a list of { largest size in bytes, name } (no size: for all others).

local read = { { 4096, "read_small" }, { 65536, "read_medium" }, { nil, "read_large" } }
local write = { { 4096, "write_small" }, { 65536, "write_medium" }, { nil, "write_large" } }

-- "/" and "/bucket", with or without a slash at the end.
local function is_bucket(path)
  local slash = path:find("/", 2, true)
  return slash == nil or slash == #path
end

return {
  { method = "GET", query = "list-type", operation = "list" },
  { method = "GET", query = "prefix", operation = "list" },
  { method = "GET", query = "uploads", operation = "list" },
  { method = "GET", query = "versions", operation = "list" },
  { method = "GET", path = is_bucket, operation = "list" },
  { method = "GET", operation = read, transfers = "down" },
  { method = "HEAD", operation = "head" },
  { method = "OPTIONS", operation = "head" },
  { method = "POST", query = "delete", operation = "delete" },
  { method = "PUT", operation = write, transfers = "up" },
  { method = "POST", operation = write, transfers = "up" },
  { method = "PATCH", operation = write, transfers = "up" },
  { method = "DELETE", operation = "delete" },
  { operation = "head" },
}
