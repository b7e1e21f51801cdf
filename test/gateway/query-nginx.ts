import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { projectPath } from "../../src/paths.ts";
import { freePort } from "../../src/postgres/free-port.ts";
import { endNginx, inPgmoon, loadModules, pgmoonPath, spawnNginx } from "./nginx.ts";

/** As settings.lua reads it for the database. */
export interface ConnectionSettings {
  readonly hosts: readonly {
    readonly host: string;
    readonly port: number;
    readonly tls_name?: string;
  }[];
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  readonly tls: boolean;
  readonly tls_required: boolean;
  readonly tls_verify: boolean;
  readonly application_name: string;
  readonly pool_size: number;
  readonly timeout_ms: number;
  readonly statement_timeout_ms: number;
}

export interface QueryAnswer {
  readonly rows?: readonly Readonly<Record<string, unknown>>[];
  readonly problem?: Readonly<Record<"code" | "message" | "detail" | "hint", string>>;
  /** The statement was not taken. */
  readonly raised?: string;
}

/** One worker of nginx that runs statements over the gateway's own connection.lua. */
export interface QueryNginx {
  query(
    settings: ConnectionSettings,
    statement: string,
    ...parameters: readonly (string | number | null)[]
  ): Promise<QueryAnswer>;
  stop(): Promise<void>;
}

/** `authority`: the file of the certificate that signs the servers'. */
export async function startQueryNginx(authority: string): Promise<QueryNginx> {
  const folder = mkdtempSync(join(tmpdir(), "qos-connection-"));
  const port = await freePort();
  mkdirSync(join(folder, "logs"));
  writeFileSync(join(folder, "nginx.conf"), configuration(port, authority));
  const child = spawnNginx(folder, {}, 1);
  child.stderr?.resume();
  const url = `http://127.0.0.1:${port}/`;
  await answering(url, child).catch(async (error) => {
    await endNginx(child);
    throw error;
  });
  return {
    async query(settings, statement, ...parameters) {
      const response = await fetch(url, {
        method: "POST",
        body: JSON.stringify({ settings, statement, parameters, count: parameters.length }),
      });
      return (await response.json()) as QueryAnswer;
    },
    async stop() {
      await endNginx(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function configuration(port: number, authority: string): string {
  const pgmoon =
    pgmoonPath === undefined
      ? [projectPath("test/gateway/lua-pgmoon/?.lua")]
      : inPgmoon(pgmoonPath);
  const path = [projectPath("src/gateway/lua/?.lua"), ...pgmoon].join(";");
  return `
    ${loadModules}
    pid nginx.pid;
    error_log stderr crit;
    events {}
    http {
      access_log off;
      lua_package_path "${path};;";
      lua_ssl_trusted_certificate ${authority};
      lua_ssl_verify_depth 2;
      lua_socket_log_errors off;
      lua_shared_dict qos_state 1m;
      init_by_lua_block { require("resty.core") }
      server {
        listen 127.0.0.1:${port};
        location = / {
          content_by_lua_block {
            local cjson = require("cjson")
            ngx.req.read_body()
            local text = ngx.req.get_body_data()
            if text == nil then
              return ngx.exit(204)
            end
            local asked = cjson.decode(text)
            local ran, rows, problem = pcall(
              require("qos.database.connection").query, asked.settings, asked.statement,
              unpack(asked.parameters, 1, asked.count)
            )
            ngx.print(cjson.encode(ran and { rows = rows, problem = problem } or { raised = rows }))
          }
        }
      }
    }`;
}

async function answering(url: string, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) throw new Error("nginx ended");
    if ((await fetch(url).catch(() => undefined))?.status === 204) return;
    await sleep(25);
  }
  throw new Error("nginx is not ready");
}
