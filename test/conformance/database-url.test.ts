import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { type UrlTarget, urlTarget } from "../../src/postgres/url-target.ts";
import { hasLua } from "./lua.ts";

interface LuaTarget {
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  readonly application_name?: string;
  readonly pool_size?: number;
  readonly is_pooled: boolean;
  readonly tls?: Readonly<
    Partial<Record<"tls" | "is_required" | "verify" | "checks_name", boolean>>
  >;
  readonly ignored: readonly string[];
  readonly error?: string;
}

function parseInLua(urls: readonly string[]): LuaTarget[] {
  const path = projectPath("src/gateway/lua/?.lua");
  const { stdout, stderr, status } = spawnSync(
    "luajit",
    [projectPath("test/conformance/database-url.lua")],
    { input: JSON.stringify(urls), env: { ...process.env, LUA_PATH: `${path};;` } },
  );
  if (status !== 0) throw new Error(String(stderr));
  return JSON.parse(String(stdout));
}

/** nginx names a socket by its file, and an address of IPv6 in brackets. */
function asNginxConnects({ hosts }: UrlTarget) {
  return hosts.map(({ host, port }) => {
    if (host.startsWith("/")) return { host: `unix:${host}/.s.PGSQL.${port}`, port };
    return { host: host.includes(":") ? `[${host}]` : host, port };
  });
}

describe.skipIf(!hasLua)("the gateway reads a connection URL as all other programs do", () => {
  test.each([
    "postgres://gateway:p%40ss%2Fword@db.example:6432/storage",
    "postgresql://gateway@one:1,two:2,three:3/storage?target_session_attrs=read-write",
    "postgres://g@one,two/storage?port=5433,5434",
    "postgres://g@one,two:7/s?port=5433",
    "postgres://g@[::1]:5433,[fe80::1]/s",
    "postgres://g@/s?host=/run/postgresql",
    "postgres://g@/s?host=one,two&port=1,2&target_session_attrs=primary",
    "postgres://g@/s?hostaddr=10.0.0.1&host=name",
    "postgres://g@%2Frun%2Fpg/s",
    "postgres://g:secret@h/s?pgbouncer=true&connection_limit=3",
    "postgres://h?user=u&password=p%2B+q&dbname=d&application_name=a%20b",
    "POSTGRES://u@h/x",
    "postgres://u:a:b@h/x",
  ])("%s", (url) => {
    const [lua] = parseInLua([url]);
    const typescript = urlTarget(url);
    expect(lua?.error).toBeUndefined();
    expect(lua?.hosts.map(({ host, port }) => ({ host, port }))).toEqual(
      asNginxConnects(typescript),
    );
    expect(lua?.user).toBe(typescript.user);
    expect(lua?.password).toBe(typescript.password);
    expect(lua?.database).toBe(typescript.database);
    expect(lua?.application_name).toBe(typescript.applicationName);
    expect(lua?.pool_size).toBe(typescript.connectionLimit);
    expect(lua?.is_pooled).toBe(typescript.isPooled);
  });

  test.each([
    ["", {}],
    ["?sslmode=disable", {}],
    ["?sslmode=prefer", { tls: true }],
    ["?sslmode=require", { tls: true, is_required: true }],
    ["?sslmode=verify-ca", { tls: true, is_required: true, verify: true }],
    ["?sslmode=verify-full", { tls: true, is_required: true, verify: true, checks_name: true }],
    ["?sslrootcert=/a", { tls: true, is_required: true, verify: true, checks_name: true }],
  ])("TLS of %j", (query, tls) => {
    const [lua] = parseInLua([`postgres://u@h/d${query}`]);
    expect({ ...lua?.tls }).toEqual(tls);
  });

  test("what has no effect is named, and nothing of it reaches the server", () => {
    const [lua] = parseInLua([
      "postgres://u@h/d?schema=public&channel_binding=require&sslmode=require",
    ]);
    expect(lua?.ignored).toEqual(["channel_binding", "schema"]);
  });

  test.each([
    ["http://h/d", "URL"],
    ["h", "URL"],
    ["postgres://u:secret@h:0/d", "port"],
    ["postgres://u:secret@h:99999/d", "port"],
    ["postgres://u:secret@h:x/d", "host"],
    ["postgres://u:secret@h/d?port=x", "port"],
    ["postgres://u:secret@h/d?sslmode=maybe", "sslmode"],
    ["postgres://u:secret@h/d?target_session_attrs=standby", "target_session_attrs"],
    ["postgres://u:secret@h/d?target_session_attrs=nowhere", "target_session_attrs"],
  ])("%s is refused, and no value of it is repeated", (url, part) => {
    const [lua] = parseInLua([url]);
    expect(lua?.error).toMatch(new RegExp(`^QOS_DATABASE_URL: invalid ${part}`));
    expect(lua?.error).not.toContain("secret");
  });
});
