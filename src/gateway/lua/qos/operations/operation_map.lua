-- Which operation a request is; the first rule that fits counts. To have your own, put a file of
-- this name ahead of it in lua_package_path.
--
-- method: HTTP method, nil for any. query: an argument that must be there: stores ignore arguments
-- that they do not know, so never let one alone make something cheap of a request.
-- header: a header that must be there, or a function of all of them by names in lower case.
-- path: a regular expression, or a function of the path, which costs a request less.
-- operation: its name, or a list of { largest size in bytes, name } (no size: for all others).
-- counts_keys: each key that the body names costs as much as the operation.
-- transfers: "down" where the bytes of the answer are charged; "up" where those of the request say
-- what it is. They are charged in any case.

local read = { { 4096, "read_small" }, { 65536, "read_medium" }, { nil, "read_large" } }
local write = { { 4096, "write_small" }, { 65536, "write_medium" }, { nil, "write_large" } }

-- "/" and "/bucket", with or without a slash at the end.
local function is_bucket(path)
  local slash = path:find("/", 2, true)
  return slash == nil or slash == #path
end

return {
  -- A list, or an object of a store without buckets.
  { method = "GET", path = is_bucket, operation = "list", transfers = "down" },
  { method = "GET", operation = read, transfers = "down" },
  { method = "HEAD", operation = "head" },
  { method = "OPTIONS", operation = "head" },
  { method = "POST", path = is_bucket, query = "delete", operation = "delete", transfers = "up",
    counts_keys = true },
  { method = "PUT", operation = write, transfers = "up" },
  { method = "POST", operation = write, transfers = "up" },
  { method = "PATCH", operation = write, transfers = "up" },
  -- Of WebDAV and Swift: the store copies an object.
  { method = "COPY", operation = write, transfers = "up" },
  { method = "DELETE", operation = "delete" },
  { operation = "head" },
}
