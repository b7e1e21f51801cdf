import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { startBridge } from "../../../test/gateway/pgmoon-double/bridge.ts";
import { projectPath } from "../../paths.ts";
import { freePort } from "../../postgres/free-port.ts";
import { withParameter } from "../../postgres/url.ts";
import { urlTarget } from "../../postgres/url-target.ts";
import type { Bench } from "../types.ts";

const run = promisify(execFile);

const modules = ["ndk_http_module.so", "ngx_http_lua_module.so"].map(
  (name) => `/usr/lib/nginx/modules/${name}`,
);
/** A checkout of pgmoon; without it the statements go over the bridge. */
const pgmoonPath = process.env.PGMOON_PATH;
/** A checkout of lua-resty-limit-traffic. */
const limitTrafficPath = process.env.LIMIT_TRAFFIC_PATH;

/** One nginx with one worker that serves one small file, with and without limits before it. */
export interface BenchNginx {
  url(path: "plain" | "lease" | "limited"): string;
  stop(): Promise<void>;
}

/** The key of the first application of the group `lease`. */
export const apiKey = `qos_${"lease-1".padStart(43, "k")}`;

export async function missingForGateway(): Promise<string | undefined> {
  const absent = [];
  for (const [program, option] of [
    ["nginx", "-v"],
    ["wrk", "-v"],
  ] as const) {
    // wrk tells its version and fails.
    const error = await run(program, [option]).catch((failure) => failure);
    if (error.code === "ENOENT") absent.push(program);
  }
  if (absent.length > 0) return `not installed: ${absent.join(", ")}`;
  if (!modules.every((path) => existsSync(path))) return "nginx has no Lua module";
  if (limitTrafficPath === undefined) {
    return "LIMIT_TRAFFIC_PATH names no checkout of lua-resty-limit-traffic";
  }
  return undefined;
}

const started = new WeakMap<Bench, { readonly nginx: Promise<BenchNginx>; users: number }>();

/** The same nginx for all workloads of a run; it ends when the last one stops. */
export async function shareNginx(bench: Bench): Promise<BenchNginx> {
  const known = started.get(bench) ?? { nginx: startNginx(bench), users: 0 };
  known.users += 1;
  started.set(bench, known);
  const nginx = await known.nginx;
  return {
    url: nginx.url,
    async stop() {
      known.users -= 1;
      if (known.users > 0) return;
      started.delete(bench);
      await nginx.stop();
    },
  };
}

async function startNginx(bench: Bench): Promise<BenchNginx> {
  const folder = mkdtempSync(join(tmpdir(), "qos-bench-nginx-"));
  const port = await freePort();
  const url = withParameter(bench.url, "options", "-c role=rate_limiter_app");
  const bridge = pgmoonPath === undefined ? await startBridge(url) : undefined;
  for (const path of ["logs", "plain", "lease", "limited"]) mkdirSync(join(folder, path));
  for (const path of ["plain", "lease", "limited"]) {
    writeFileSync(join(folder, path, "object"), "x".repeat(1_000));
  }
  const settings = gatewaySettings(bench.url, bridge?.port);
  writeFileSync(join(folder, "nginx.conf"), configuration(folder, port, Object.keys(settings)));
  const user = process.getuid?.() === 0 ? "user root;" : "";
  const child = spawn("nginx", ["-p", folder, "-c", "nginx.conf", "-g", `daemon off; ${user}`], {
    env: { PATH: process.env.PATH, ...settings },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const nginx: BenchNginx = {
    url: (path) => `http://127.0.0.1:${port}/${path}/object`,
    async stop() {
      child.kill("SIGQUIT");
      if (child.exitCode === null) await once(child, "exit");
      await bridge?.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await serving(nginx, child);
  return nginx;
}

function gatewaySettings(url: string, bridgePort: number | undefined): Record<string, string> {
  const { hosts, user = "", password = "", database = "" } = urlTarget(url);
  const { host, port } =
    bridgePort === undefined ? hosts[0] : { host: "127.0.0.1", port: bridgePort };
  return {
    QOS_DATABASE_HOST: host,
    QOS_DATABASE_PORT: String(port),
    QOS_DATABASE_NAME: database,
    QOS_DATABASE_USER: user,
    QOS_DATABASE_PASSWORD: password,
    QOS_DATABASE_TIMEOUT_MS: "5000",
  };
}

/** The three locations serve alike, whatever stands before them. */
function configuration(folder: string, port: number, variables: readonly string[]): string {
  const own = projectPath("src/gateway/lua/?.lua");
  const double = projectPath("test/gateway/pgmoon-double/lua/?.lua");
  const database =
    pgmoonPath === undefined
      ? [double, own]
      : [own, join(pgmoonPath, "?.lua"), join(pgmoonPath, "?/init.lua")];
  const path = [...database, join(limitTrafficPath ?? "", "lib/?.lua")].join(";");
  return `
    ${modules.map((module) => `load_module ${module};`).join("\n")}
    worker_processes 1;
    pid nginx.pid;
    error_log stderr error;
    ${variables.map((name) => `env ${name};`).join("\n")}
    events { worker_connections 1024; }
    http {
      lua_package_path "${path};;";
      lua_shared_dict qos_leases 16m;
      lua_shared_dict qos_state 16m;
      lua_shared_dict qos_identities 4m;
      lua_shared_dict qos_owed 4m;
      lua_shared_dict qos_metrics 2m;
      lua_shared_dict limited 16m;
      access_log off;
      keepalive_requests 1000000000;
      open_file_cache max=10 inactive=1h;
      open_file_cache_valid 1h;
      init_by_lua_block { require("qos.workers.start").init() }
      init_worker_by_lua_block { require("qos.workers.start").init_worker() }
      server {
        listen 127.0.0.1:${port};
        root ${folder};
        location /plain/ {}
        location /lease/ {
          access_by_lua_block { package.loaded["qos.phases"].access() }
          header_filter_by_lua_block { package.loaded["qos.phases"].header_filter() }
          body_filter_by_lua_block { package.loaded["qos.phases"].body_filter() }
          log_by_lua_block { package.loaded["qos.phases"].log() }
        }
        location /limited/ {
          access_by_lua_block {
            local limiter = require("resty.limit.req").new("limited", 1e9, 1e9)
            local delay, problem = limiter:incoming(ngx.var.http_x_api_key, true)
            if not delay then
              return ngx.exit(problem == "rejected" and 503 or 500)
            end
            if delay >= 0.001 then
              ngx.sleep(delay)
            end
          }
        }
      }
    }`;
}

async function serving(nginx: BenchNginx, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) throw new Error("nginx ended");
    const response = await fetch(nginx.url("plain")).catch(() => undefined);
    if (response?.ok) return;
    await sleep(50);
  }
  throw new Error("nginx does not answer");
}
