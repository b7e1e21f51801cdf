import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { projectPath } from "../../src/paths.ts";
import { freePort } from "../../src/postgres/free-port.ts";
import { unlessRequired } from "../harness/required.ts";

/** A checkout of pgmoon: with it the gateway's own connection is tested, without it a double. */
export const pgmoonPath = process.env.PGMOON_PATH;

const modules = ["ndk_http_module.so", "ngx_http_lua_module.so"].map(
  (name) => `/usr/lib/nginx/modules/${name}`,
);

/** Why there is nothing to test with; undefined where nginx and its Lua module are installed. */
export const missing: string | undefined = unlessRequired(reasonToSkip());

function reasonToSkip(): string | undefined {
  const nginx = spawnSync("nginx", ["-v"]);
  if (nginx.error !== undefined)
    return "nginx is not installed (.ci/packages lists what to install)";
  const hasLua = modules.every((path) => existsSync(path));
  return hasLua ? undefined : "nginx has no Lua module (libnginx-mod-http-lua)";
}

export interface Nginx {
  readonly port: number;
  readonly url: string;
  readonly adminUrl: string;
  /** Of the master process. */
  readonly pid: number;
  /** What it has logged. */
  log(): string;
  /** New workers take over; the old ones end what they have begun. */
  reload(): void;
  /** Ends as an operator would end it: what is leased goes back. */
  stop(): Promise<void>;
}

/** How statements reach the database where pgmoon is not installed. */
export type Driver = "bridge" | "stub";

export interface NginxOptions {
  /** The stub of pgmoon is for the gateway's own connection.lua. */
  readonly driver?: Driver | undefined;
  readonly upstreamPort: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly workers?: number;
  /** Changes nginx.conf. */
  readonly edit?: (configuration: string) => string;
  /** How often it is asked whether it is ready. */
  readonly tries?: number;
  readonly started?: (pid: number) => void;
}

/** Runs the gateway's own nginx.conf with ports and paths of this machine. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), "qos-gateway-"));
  const [port, adminPort] = [await freePort(), await freePort()];
  writeConfiguration(folder, options, port, adminPort);
  const logged: string[] = [];
  const child = spawnNginx(folder, options.environment, options.workers);
  child.stderr?.on("data", (data: Buffer) => logged.push(data.toString()));
  const nginx: Nginx = {
    port,
    url: `http://127.0.0.1:${port}`,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    pid: child.pid ?? 0,
    log: () => logged.join(""),
    reload: () => void child.kill("SIGHUP"),
    async stop() {
      await endNginx(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  options.started?.(nginx.pid);
  await ready(nginx, child, options.tries).catch(async (error) => {
    await nginx.stop();
    throw error;
  });
  return nginx;
}

/**
 * nginx in the foreground, with a configuration of this folder. It ends with the process that starts
 * it: hooks do not run where each test of their suite is skipped, nor where a run is killed.
 */
export function spawnNginx(
  folder: string,
  environment: Readonly<Record<string, string>>,
  workers = 2,
): ChildProcess {
  const nginx = ["nginx", "-p", folder, "-c", "nginx.conf", "-g", directives(workers)];
  return spawn("setpriv", ["--pdeathsig", "TERM", ...nginx], {
    env: { PATH: process.env.PATH ?? "", ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
}

function directives(workers: number): string {
  const user = process.getuid?.() === 0 ? "user root;" : "";
  return `daemon off; ${user} worker_processes ${workers};`;
}

function writeConfiguration(
  folder: string,
  options: NginxOptions,
  port: number,
  adminPort: number,
): void {
  cpSync(projectPath("src/gateway"), folder, { recursive: true });
  mkdirSync(join(folder, "logs"));
  const replace = (name: string, text: string) => writeFileSync(join(folder, name), text);
  const edit = options.edit ?? ((text: string) => text);
  // -g has it as well, and nginx takes no directive twice.
  const own = readFileSync(join(folder, "nginx.conf"), "utf8").replace(
    /^worker_processes .*$/m,
    "",
  );
  replace("nginx.conf", edit(own));
  replace("listen.conf", `listen 127.0.0.1:${port};`);
  replace("listen-admin.conf", `listen 127.0.0.1:${adminPort};`);
  replace("modules.conf", loadModules);
  replace("network.conf", "");
  replace(
    "upstream.conf",
    `upstream storage { server 127.0.0.1:${options.upstreamPort}; keepalive 16; }`,
  );
  replace("paths.conf", `lua_package_path "${luaPath(folder, options.driver)};;";`);
}

function luaPath(folder: string, driver: Driver = "bridge"): string {
  const own = join(folder, "lua/?.lua");
  if (pgmoonPath !== undefined) return [own, ...inPgmoon(pgmoonPath)].join(";");
  if (driver === "stub") return [own, projectPath("test/gateway/lua-pgmoon/?.lua")].join(";");
  return [projectPath("test/gateway/pgmoon-double/lua/?.lua"), own].join(";");
}

/** Where Lua finds the modules of a checkout. */
export function inPgmoon(path: string): string[] {
  return [join(path, "?.lua"), join(path, "?/init.lua")];
}

export const loadModules: string = modules.map((path) => `load_module ${path};`).join("\n");

async function ready(nginx: Nginx, child: ChildProcess, most = 200): Promise<void> {
  for (let tries = 0; tries < most; tries += 1) {
    if (child.exitCode !== null) throw new Error(`nginx ended:\n${nginx.log()}`);
    const response = await fetch(`${nginx.adminUrl}/healthz`).catch(() => undefined);
    if (response?.ok) return;
    await sleep(50);
  }
  throw new Error(`nginx is not ready:\n${nginx.log()}`);
}

/** Longer than any machine needs for it: what a killed nginx has leased does not go back. */
const latestEndMs = 60_000;

/** Ends as an operator would end it. */
export async function endNginx(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGQUIT");
  const late = sleep(latestEndMs, true, { ref: false });
  const isLate = await Promise.race([exited.then(() => false), late]);
  if (isLate) child.kill("SIGKILL");
  await exited;
}
