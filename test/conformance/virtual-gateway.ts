import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import { projectPath } from "../../src/paths.ts";
import type { Layer3World } from "./layer3-ways.ts";

const path = [projectPath("src/gateway/lua/?.lua"), "/usr/share/lua/5.1/?.lua"].join(";");
const lifetimeMs = 10_000;
const application = "a";
/** Between what is done and what is looked at: nginx's timers run meanwhile. */
const stepMs = 300;

interface Renewal {
  readonly app_id: string;
  readonly next_lease_id: string;
}

const nothing = {
  app_id: application,
  tokens: "0",
  bytes: "0",
  lifetime_ms: String(lifetimeMs),
  retry_after_ms: "60000",
  short_of: "bandwidth_l2",
  holders: 1,
  is_limited_tokens: true,
  is_limited_bytes: true,
};
const lease = { ...nothing, tokens: "1000", bytes: "1000000", retry_after_ms: "0" };
/** Without limits there is nothing to lease, and so nothing to settle. */
const unlimited = { ...nothing, is_limited_tokens: false, is_limited_bytes: false };

/** What a call of the gateway tells of leases. */
type Heard = "renewal" | "settlement";

const isOfLease = ({ lease_id }: { lease_id?: string }) => lease_id !== undefined;

/** Answers an exchange of leases, each renewal with this. */
function answerExchange(
  [renewed = "[]", settled = "[]"]: readonly string[],
  granted: typeof lease,
) {
  const renewals: Renewal[] = JSON.parse(renewed);
  const answers = renewals.map(({ next_lease_id }) => ({
    ...granted,
    ...(granted === lease && { lease_id: next_lease_id }),
  }));
  const rows = [{ answers: JSON.stringify(answers) }];
  if (answers.length > 0) return { rows, says: "renewal" as const };
  const hasEnded = JSON.parse(settled).some(isOfLease);
  return hasEnded ? { rows, says: "settlement" as const } : { rows };
}

const limit = (bucketType: string, capacity: number) => ({
  ...{ bucket_type: bucketType, mode: "enforce", method: "token_bucket" },
  ...{ capacity: String(capacity), refill_rate: "1000" },
});
const config = {
  app_id: application,
  now_us: "0",
  limits: JSON.stringify({
    limits: [limit("iops_l2", 1_000_000), limit("bandwidth_l2", 1_000_000_000)],
  }),
  costs: JSON.stringify([
    {
      ...{ operation: "read_small", c_base: "1", c_bw: "0", unit_quantum: "1" },
      is_active: true,
    },
  ]),
};

/** The gateway's Lua in a process of its own, whose database answers when the test says so. */
export async function openGatewayLayer3(): Promise<Layer3World> {
  const child = spawn("luajit", [projectPath("test/conformance/virtual-nginx.lua")], {
    env: { ...process.env, LUA_PATH: `${path};;` },
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill());
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const tell = (message: object) => child.stdin.write(`${JSON.stringify(message)}\n`);
  let [atMs, asked, isDown] = [1_000_000, 0, false];
  let granted: typeof lease = lease;
  let isInVain = false;
  // One that does not look after leases: they go back when the test says so.
  const holds = ["exchange_leases", "settle_lease"];
  tell({ at: atMs / 1_000, workers: 1, call_takes: 0, first: 1, holds });

  function answer({ statement, parameters }: { statement: string; parameters: string[] }): {
    readonly rows?: readonly object[];
    readonly error?: object;
    readonly says?: Heard;
  } {
    if (statement.includes("application_of_key")) return { rows: [config] };
    if (statement.includes("exchange_leases")) return answerExchange(parameters, granted);
    if (statement.includes("settle_lease") && isInVain) {
      const error = { code: "55P03", message: "another transaction holds it" };
      return { error, says: "settlement" };
    }
    return isDown ? { error: { message: "no answer" } } : { rows: [{}] };
  }

  async function nextLine() {
    const { value, done } = await lines.next();
    if (done) throw new Error("the gateway's Lua ended");
    return JSON.parse(value);
  }

  /** Answers its calls until it has nothing more to do, and tells what it said. */
  async function listen() {
    const told: { state?: string; was_held?: boolean; heard?: Heard } = {};
    for (let line = await nextLine(); !line.is_idle; line = await nextLine()) {
      if ("statement" in line) {
        const { says, ...given } = answer(line);
        if (says !== undefined) told.heard ??= says;
        tell(given);
      } else Object.assign(told, line);
    }
    return told;
  }

  async function send(message: object, passesMs = stepMs) {
    tell({ at: atMs / 1_000, given_up: [], asks: [], quits: false, ...message });
    const told = await listen();
    if (passesMs > 0) {
      atMs += passesMs;
      await send({}, 0);
    }
    return told;
  }
  const drive = (name: string, argument?: unknown) => send({ drive: name, with: argument });

  /** Answers calls one after the other, the last of them that which says this. */
  async function answerUntil(says: Heard) {
    for (;;) {
      const { was_held, heard } = await drive("let_go");
      if (heard === says) return;
      if (!was_held) throw new Error(`no ${says} is under way`);
    }
  }

  async function answerRenewal(what: typeof lease) {
    granted = what;
    await answerUntil("renewal");
  }

  const world: Layer3World = {
    async state() {
      const { state } = await send({ drive: "state", with: application }, 0);
      return state ?? "unknown";
    },
    async ask() {
      asked += 1;
      const ask = { id: asked, worker: 1, key: "k", operation: "read_small", size: 5_000_000 };
      await send({ asks: [{ ...ask, is_held: false }] });
    },
    grant: () => answerRenewal(lease),
    grantUnlimited: () => answerRenewal(unlimited),
    refuse: () => answerRenewal(nothing),
    return: () => drive("give_back", application).then(() => {}),
    async returnBehindOthers() {
      await send({ drive: "crowd", with: 1_000 }, 0);
      await world.return();
    },
    returnAtOnce: () => drive("give_back_now", application).then(() => {}),
    settle: () => answerUntil("settlement"),
    async settleInVain() {
      isInVain = true;
      await answerUntil("settlement");
      isInVain = false;
    },
    async end() {
      await send({}, lifetimeMs);
    },
    async fail() {
      isDown = true;
      await drive("call");
    },
    async recover() {
      isDown = false;
      await drive("call");
    },
    async close() {
      await send({ quits: true });
    },
  };
  return world;
}

/** Every way from one state to another, as layer3.lua declares it. */
export async function gatewayArrows(): Promise<readonly (readonly string[])[]> {
  const double = "package.preload['qos.database.connection'] = function() return {} end";
  const script = `ngx = { shared = {}, null = 0 } ${double}
    package.preload['qos.clock'] = function() return {} end
    package.preload['qos.uuid'] = function() return {} end
    print(require("cjson").encode(require("qos.leases.layer3").arrows))`;
  const child = spawn("luajit", ["-e", script], {
    env: { ...process.env, LUA_PATH: `${path};;` },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}
