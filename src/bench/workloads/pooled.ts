import pg from "pg";
import { pgbouncerProgram, startPgBouncer } from "../pgbouncer.ts";
import type { Bench, Workload } from "../types.ts";
import { callAtOnce } from "./callers.ts";
import { nodePool } from "./node-pool.ts";

const clients = 1_000;
const sessions = 20;

/** The pooler drops what a connection sets: the login decides as it decides everywhere. */
const statement = "select allowed from rate_limiter.consume($1, 'read_small', 4096)";

/** One decision of any of the applications, by whatever runs a statement. */
async function decideBy(bench: Bench): Promise<(runner: pg.Client | pg.Pool) => Promise<void>> {
  const rows = await bench.sql<{ id: string }[]>`
    select md5('plain ' || n)::uuid as id from generate_series(1, ${bench.applications}::int) as n
  `;
  return async (runner) => {
    const row = rows[Math.floor(Math.random() * rows.length)];
    const answer = await runner.query<{ allowed: boolean }>(statement, [row?.id]);
    if (!answer.rows[0]?.allowed) throw new Error("a decision that is meant to admit denies");
  };
}

export const pooledClients: Workload = {
  name: "pooled-clients",
  says: "decisions on an IOPS quota, 1,000 connections to PgBouncer, which has 20 to the server",
  unit: "per second",
  async missing() {
    return pgbouncerProgram === undefined ? "pgbouncer is not installed" : undefined;
  },
  async start(bench) {
    const pooler = await startPgBouncer(bench.url, {
      ...{ default_pool_size: sessions, reserve_pool_size: 0 },
    });
    const connections: pg.Client[] = [];
    for (let count = 0; count < clients; count += 1) {
      const client = new pg.Client({ connectionString: pooler.url });
      await client.connect();
      connections.push(client);
    }
    const decide = await decideBy(bench);
    const idle = [...connections];
    const call = async () => {
      const client = idle.pop();
      if (client === undefined) throw new Error("there are more callers than connections");
      await decide(client);
      idle.push(client);
    };
    return {
      round: () => callAtOnce(clients, bench.seconds, call),
      async stop() {
        await Promise.all(connections.map((client) => client.end()));
        await pooler.stop();
      },
    };
  },
};

export const sharedPool: Workload = {
  name: "shared-pool",
  says: "the same decisions of 1,000 callers in one process through a pool of 20 without PgBouncer",
  unit: "per second",
  async start(bench) {
    const pool = nodePool(bench, undefined, sessions);
    const decide = await decideBy(bench);
    return {
      round: () => callAtOnce(clients, bench.seconds, () => decide(pool)),
      stop: () => pool.end(),
    };
  },
};
