-- luacheck src/gateway/lua test: of Debian's lua-check; test/gateway/luacheck.test.ts runs it.
std = "ngx_lua+luajit"
max_line_length = 110
-- It counts each `and` and `or`.
max_cyclomatic_complexity = 17
-- Doubles of nginx, and of pgmoon's methods.
files["test"] = { globals = { "ngx" }, self = false }
