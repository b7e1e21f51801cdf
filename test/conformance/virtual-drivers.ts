import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import { createLimiter } from "../../src/client/index.ts";
import type { Sql } from "../../src/client/store/sql.ts";
import { projectPath } from "../../src/paths.ts";
import type { ClientWorld } from "../client/world.ts";
import { unlessRequired } from "../harness/required.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Decides for one application, by itself, as one process of it. */
export interface Caller {
  decide(operation: string): Promise<{ readonly allowed: boolean; readonly reason: string | null }>;
}

export interface VirtualDriver {
  readonly name: string;
  open(time: VirtualTime, world: ClientWorld): Caller;
}

const clientDriver: VirtualDriver = {
  name: "the client",
  open(time, { apiKey }) {
    const limiter = createLimiter({ connection: time.pool("rate_limiter_app"), apiKey });
    onTestFinished(() => limiter.close());
    return { decide: (operation) => limiter.checkAsync(operation) };
  },
};

/** The gateway's Lua as it is, in a process of its own with a double of nginx. */
const gatewayDriver: VirtualDriver = {
  name: "the gateway",
  open(time, { apiKey }) {
    const process = startLua(time);
    return { decide: (operation) => process.ask(apiKey, operation) };
  },
};

/** Why the gateway is left out; undefined where its Lua runs. */
export const missing: string | undefined = unlessRequired(reasonToSkip());

export const drivers: readonly VirtualDriver[] =
  missing === undefined ? [clientDriver, gatewayDriver] : [clientDriver];

function reasonToSkip(): string | undefined {
  const modules = "require('cjson.safe') require('resty.lrucache')";
  const { error, status } = spawnSync("luajit", ["-e", `ngx = {} ${modules}`]);
  if (error !== undefined) return "luajit is not installed (.ci/packages lists what to install)";
  return status === 0 ? undefined : "lua-cjson or lua-resty-lrucache is missing (.ci/packages)";
}

interface Verdict {
  readonly allowed: boolean;
  readonly reason: string | null;
}

type Line =
  | { readonly statement: string; readonly parameters: string[] }
  | { readonly is_idle: true }
  | ({ readonly id: number; readonly problem: string | null } & Verdict);

function startLua(time: VirtualTime) {
  const path = [projectPath("src/gateway/lua/?.lua"), "/usr/share/lua/5.1/?.lua"].join(";");
  const child = spawn("luajit", [projectPath("test/conformance/virtual-nginx.lua")], {
    env: { ...process.env, LUA_PATH: `${path};;` },
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.stdin.end());
  const database = time.pool("rate_limiter_app");
  const waiting = new Map<number, (verdict: Verdict) => void>();
  let idle: (() => void) | undefined;
  let asks: { id: number; key: string; operation: string; size: number }[] = [];
  let [asked, turn] = [0, Promise.resolve()];

  async function query({ statement, parameters }: { statement: string; parameters: string[] }) {
    const answer = await run(database, statement, parameters);
    child.stdin.write(`${JSON.stringify(answer)}\n`);
  }

  createInterface(child.stdout).on("line", (text) => {
    const line: Line = JSON.parse(text);
    if ("statement" in line) void query(line);
    else if ("is_idle" in line) idle?.();
    else {
      if (line.problem !== null) throw new Error(`refused: ${line.problem}`);
      waiting.get(line.id)?.(line);
      waiting.delete(line.id);
    }
  });

  /** One message at a time: the process is asked when it has nothing more to do. */
  function flush(): void {
    turn = time.track(
      turn.then(async () => {
        const message = { at: Date.now() / 1_000, asks };
        asks = [];
        const done = new Promise<void>((resolve) => {
          idle = resolve;
        });
        child.stdin.write(`${JSON.stringify(message)}\n`);
        await done;
      }),
    );
  }
  time.onAdvance(flush);

  return {
    ask(key: string, operation: string): Promise<Verdict> {
      asked += 1;
      const id = asked;
      asks.push({ id, key, operation, size: 0 });
      if (asks.length === 1) flush();
      return new Promise((resolve) => waiting.set(id, resolve));
    },
  };
}

/** The statements of src/gateway/lua/qos/database.lua have $1 and so on. */
async function run(sql: Sql, statement: string, parameters: readonly (string | null)[]) {
  const parts = statement.split(/\$(\d+)/);
  const texts = parts.filter((_, place) => place % 2 === 0);
  const values = parts
    .filter((_, place) => place % 2 === 1)
    .map((number) => parameters[Number(number) - 1] ?? null);
  const strings = Object.assign(texts, { raw: texts }) as unknown as TemplateStringsArray;
  try {
    return { rows: await sql(strings, ...values) };
  } catch (error) {
    const { code, message, detail, hint } = error as Record<string, string>;
    return { error: { code, message, detail, hint } };
  }
}
