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

const gatewayDriver: VirtualDriver = {
  name: "the gateway",
  open(time, { apiKey }) {
    const gateway = startGateway(time);
    return {
      async decide(operation) {
        const verdict = await gateway.ask(apiKey, operation);
        if (verdict.problem !== null) throw new Error(`refused: ${verdict.problem}`);
        return verdict;
      },
    };
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
  /** Until the same may be admitted; null for never. */
  readonly retry_after_ms: number | null;
  /** The code of an error. */
  readonly problem: string | null;
}

type Line =
  | { readonly statement: string; readonly parameters: string[] }
  | { readonly is_idle: true }
  | ({ readonly id: number } & Verdict);

interface Ask {
  readonly id: number;
  readonly key: string;
  readonly operation: string;
  readonly size: number;
  /** One of two, from 1 on. */
  readonly worker: number;
  /** Goes on until it is given up. */
  readonly is_held: boolean;
}

export interface GatewayOptions {
  readonly workers?: 1 | 2;
  /** Of this clock, between a call and when the database sees it. */
  readonly callTakesMs?: number;
}

/** The gateway's Lua as it is, in a process of its own with a double of nginx. */
export function startGateway(
  time: VirtualTime,
  { workers = 1, callTakesMs = 0 }: GatewayOptions = {},
) {
  const path = [projectPath("src/gateway/lua/?.lua"), "/usr/share/lua/5.1/?.lua"].join(";");
  const child = spawn("luajit", [projectPath("test/conformance/virtual-nginx.lua")], {
    env: { ...process.env, LUA_PATH: `${path};;` },
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.stdin.end());
  const database = time.pool("rate_limiter_app");
  const waiting = new Map<number, (verdict: Verdict) => void>();
  let idle: (() => void) | undefined;
  let [asks, givenUp]: [Ask[], number[]] = [[], []];
  let [asked, turn] = [0, Promise.resolve()];
  let quits = false;
  let wasStopped = false;
  const calls = new Map<string, number>();
  let link: "whole" | "loses answers" | "cut" = "whole";
  const tell = (message: object) => child.stdin.write(`${JSON.stringify(message)}\n`);
  tell({ at: Date.now() / 1_000, workers, call_takes: callTakesMs / 1_000 });

  async function query({ statement, parameters }: { statement: string; parameters: string[] }) {
    const [, name = "other"] = /rate_limiter\.(\w+)/.exec(statement) ?? [];
    calls.set(name, (calls.get(name) ?? 0) + 1);
    const noAnswer = { error: { message: "no answer" } };
    const answer = link === "cut" ? noAnswer : await run(database, statement, parameters);
    tell(link === "whole" ? answer : noAnswer);
  }

  createInterface(child.stdout).on("line", (text) => {
    const line: Line = JSON.parse(text);
    if ("statement" in line) void query(line);
    else if ("is_idle" in line) idle?.();
    else {
      waiting.get(line.id)?.(line);
      waiting.delete(line.id);
    }
  });

  /** One message at a time: the process is asked when it has nothing more to do. */
  function flush(): void {
    turn = time.track(
      turn.then(async () => {
        const message = {
          at: Date.now() / 1_000,
          given_up: givenUp,
          asks,
          quits,
          was_stopped: wasStopped,
        };
        [asks, givenUp, quits, wasStopped] = [[], [], false, false];
        const done = new Promise<void>((resolve) => {
          idle = resolve;
        });
        tell(message);
        await done;
      }),
    );
  }
  time.onAdvance(flush);

  function send(ask: Omit<Ask, "id">): { readonly id: number; readonly verdict: Promise<Verdict> } {
    asked += 1;
    const id = asked;
    asks.push({ id, ...ask });
    if (asks.length === 1) flush();
    return { id, verdict: new Promise((resolve) => waiting.set(id, resolve)) };
  }

  return {
    ask(key: string, operation: string, worker = 1): Promise<Verdict> {
      return send({ key, operation, size: 0, worker, is_held: false }).verdict;
    },
    /** A request that goes on until it is given up, which moves nothing. */
    begin: (key: string, operation: string, size: number, worker: number) =>
      send({ key, operation, size, worker, is_held: true }),
    /** With what comes next. */
    giveUp: (id: number) => void givenUp.push(id),
    /** As SIGQUIT does, with what comes next. */
    quit() {
      quits = true;
    },
    /** Up to what comes next: time has jumped, and its timers are late. */
    wasStopped() {
      wasStopped = true;
    },
    /** Of the database, by the name of the function. */
    calls,
    /** Between it and the database. */
    setLink(state: typeof link) {
      link = state;
    },
  };
}

/** The statements of src/gateway/lua/qos/database/statements.lua have $1 and so on. */
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
