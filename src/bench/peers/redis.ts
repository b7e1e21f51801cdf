import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { freePort } from "../../postgres/free-port.ts";
import type { Workload } from "../types.ts";
import { callAtOnce } from "../workloads/callers.ts";
import { callersFromNode } from "../workloads/node-pool.ts";

const run = promisify(execFile);

/** A token bucket in a hash, refilled by Redis's clock. */
const tokenBucket = `
local bucket = redis.call('hmget', KEYS[1], 'tokens', 'at')
local capacity, rate, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('time')
local now = clock[1] + clock[2] / 1000000
local tokens = tonumber(bucket[1]) or capacity
local at = tonumber(bucket[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate)
local allowed = tokens >= cost
if allowed then tokens = tokens - cost end
redis.call('hset', KEYS[1], 'tokens', tokens, 'at', now)
redis.call('expire', KEYS[1], 3600)
return { allowed and 1 or 0, tostring(tokens) }
`;

export const redisBucket: Workload = {
  name: "redis",
  says: "token-bucket script on Redis through ioredis, 1,000 keys, 32 callers",
  unit: "per second",
  async missing() {
    try {
      await run("redis-server", ["--version"]);
      return undefined;
    } catch {
      return "redis-server is not installed";
    }
  },
  async start(bench) {
    const port = await freePort();
    const server = startRedis(port);
    const { Redis } = await import("ioredis");
    const client = new Redis({ port, host: "127.0.0.1", retryStrategy: () => 50 });
    client.on("error", () => {});
    client.defineCommand("takeToken", { numberOfKeys: 1, lua: tokenBucket });
    await answers(() => client.ping());
    const { takeToken } = client as unknown as {
      takeToken(key: string, ...rest: number[]): Promise<unknown>;
    };
    const call = () => {
      const key = `bench:${Math.ceil(Math.random() * bench.applications)}`;
      return takeToken.call(client, key, 60_000_000, 1_000_000, 1);
    };
    return {
      round: () => callAtOnce(callersFromNode, bench.seconds, call),
      async stop() {
        client.disconnect();
        server.kill();
        if (server.exitCode === null) await once(server, "exit");
      },
    };
  },
};

function startRedis(port: number): ChildProcess {
  const options = [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--save",
    "",
    "--appendonly",
    "no",
  ];
  return spawn("redis-server", options, { stdio: "ignore" });
}

async function answers(ping: () => Promise<unknown>): Promise<void> {
  const answer = await Promise.race([ping(), sleep(10_000)]);
  if (answer === undefined) throw new Error("redis-server does not answer");
}
